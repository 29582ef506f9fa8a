//! Histories as files of a folder. Writers take turns by a lock and replace files whole.

use super::{Change, Unwritten};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone)]
pub(super) struct Folder {
    pub(super) dir: PathBuf,
}

impl Folder {
    /// Names of the files, with `/` between folders.
    pub(super) fn names(&self) -> Vec<String> {
        fn walk(dir: &Path, root: &Path, out: &mut Vec<String>) {
            for path in std::fs::read_dir(dir).into_iter().flatten().filter_map(|e| Some(e.ok()?.path())) {
                if path.is_dir() {
                    walk(&path, root, out);
                } else if let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str) {
                    out.push(name.replace('\\', "/"));
                }
            }
        }
        let mut out = Vec::new();
        walk(&self.dir, &self.dir, &mut out);
        out
    }

    pub(super) fn read(&self, name: &str) -> Result<Option<String>, String> {
        match std::fs::read_to_string(self.dir.join(name)) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.to_string()),
        }
    }

    pub(super) fn change(&self, name: &str, change: Change<'_>) -> Result<bool, Unwritten> {
        let _turn = self.lock().map_err(Unwritten::Failed)?;
        let text = self.read(name).map_err(|why| Unwritten::Failed(format!("{} cannot be read: {why}", self.dir.join(name).display())))?;
        let Some(text) = change(text)? else { return Ok(false) };
        self.replace(&self.dir.join(name), &text).map_err(Unwritten::Failed)?;
        Ok(true)
    }

    /// Takes the turn of a writer; it ends when the file is dropped.
    fn lock(&self) -> Result<File, String> {
        let failed = |e: std::io::Error| format!("{} cannot be written: {e}", self.dir.display());
        std::fs::create_dir_all(&self.dir).map_err(failed)?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(self.dir.join(".lock")).map_err(failed)?;
        file.lock().map_err(failed)?;
        let attributes = self.dir.join(".gitattributes");
        if !attributes.exists() {
            // Two branches that both append keep both.
            std::fs::write(attributes, "*.jsonl merge=union text eol=lf\n").map_err(failed)?;
            std::fs::write(self.dir.join(".gitignore"), ".lock\n").map_err(failed)?;
        }
        Ok(file)
    }

    fn replace(&self, path: &Path, text: &str) -> Result<(), String> {
        let failed = |e: std::io::Error| format!("{} cannot be written: {e}", path.display());
        let dir = path.parent().unwrap_or(&self.dir);
        std::fs::create_dir_all(dir).map_err(failed)?;
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).map_err(failed)?;
        }
        file.persist(path).map_err(|e| failed(e.error))?;
        // The new name, too, must outlive a power cut; not every system lets a folder be opened.
        #[cfg(unix)]
        std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)?;
        Ok(())
    }
}
