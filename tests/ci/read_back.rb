# Reads a JUnit file and a metrics file the way GitLab does, and holds them to the record of the same run: Hash.from_xml and its
# types, one text for each case, the attachment marker; `line.gsub(/#.*$/, '').shellsplit` for metrics.
# ruby read_back.rb junit.xml metrics.txt record.json [FOLDER of the attachments]
require 'active_support'
require 'active_support/core_ext/hash/conversions'
require 'json'
require 'shellwords'

junit, metrics, json, folder = ARGV
folder ||= '.'
record = JSON.parse(File.read(json))
wrong = []

def list(value) = value.nil? ? [] : [value].flatten(1)

def text(node)
  return '' if node.nil?
  # An element with a body gives that body, or a hash whose content it is when attributes stand beside it.
  node.is_a?(Hash) ? node['__content__'].to_s : node.to_s
end

cases = list(Hash.from_xml(File.read(junit))['testsuites']['testsuite']).flat_map { |suite| list(suite['testcase']) }
read = {}
cases.each do |c|
  id = "#{c['classname']}::#{c['name']}"
  wrong << "#{id} is there twice, and GitLab keeps one" if read.key?(id)
  status = c.key?('failure') ? 'failed' : c.key?('error') ? 'error' : c.key?('skipped') ? 'skipped' : 'success'
  [c['failure'], c['error']].each { |node| wrong << "#{id}: several failures" if node.is_a?(Array) }
  output = [text(c['failure'] || c['error']), text(c['system_out'])].reject(&:empty?).join("\n")
  read[id] = { status: status, text: output, file: c['file'], time: Float(c['time']), attachment: output[/\[\[ATTACHMENT\|([^\]]+)\]\]/, 1] }
end

wrong << "#{read.size} cases were read, #{record['cases'].size} are in the record" if read.size != record['cases'].size
record['cases'].each do |wanted|
  test = read[wanted['id']] or next wrong << "#{wanted['id']} was not read"
  status = wanted['skipped'] ? 'skipped' : { 'fail' => 'failed', 'error' => 'error' }.fetch(wanted['verdict'], 'success')
  wrong << "#{wanted['id']}: read as #{test[:status]}, and it is #{status}" if test[:status] != status
  wrong << "#{wanted['id']}: it stands in #{test[:file]}" if test[:file] != wanted['file']
  if %w[failed error].include?(status) && !test[:text].lines.first.to_s.split.eql?(wanted['why'].split)
    wrong << "#{wanted['id']}: its text begins with #{test[:text].lines.first.inspect}"
  end
  if test[:attachment] && !File.file?(File.join(folder, test[:attachment]))
    wrong << "#{wanted['id']}: its attachment #{test[:attachment]} is not there"
  end
end

figures = File.readlines(metrics, chomp: true).filter_map do |line|
  name, *values = line.gsub(/#.*$/, '').shellsplit
  next if name.nil?
  wrong << "metrics: #{line.inspect} has #{values.size} values" if values.size != 1
  wrong << "metrics: #{line.inspect} has no number" unless values.first.to_s.match?(/\A-?\d+(\.\d+)?\z/)
  name
end
wrong << 'metrics: a name is there twice' if figures.uniq.size != figures.size
verdicts = File.read(metrics).scan(/llm_cases\{verdict="([a-z_]+)"\} (\d+)/).to_h
record['cases'].reject { |c| c['skipped'] }.group_by { |c| c['verdict'] }.each do |verdict, of|
  wrong << "metrics: #{verdicts[verdict].inspect} cases are #{verdict}, and #{of.size} are" if verdicts[verdict] != of.size.to_s
end

puts "GitLab: #{read.size} cases, #{read.values.map { |t| t[:status] }.tally}, #{figures.size} figures, ActiveSupport #{ActiveSupport::VERSION::STRING}"
wrong.each { |line| warn "GitLab: #{line}" }
exit wrong.empty?
