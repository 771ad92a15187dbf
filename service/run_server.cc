#include "service/run_server.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "service/base/clock.h"
#include "service/server.h"

namespace chunkkv {
namespace {

// The file appears whole: readers wait for it.
bool WritePort(const std::string& path, int port) {
  const std::string temporary = path + ".tmp";
  {
    std::ofstream file(temporary);
    file << port << '\n';
    if (!file.flush()) return false;
  }
  return std::rename(temporary.c_str(), path.c_str()) == 0;
}

}  // namespace

int RunServer(const CommandLine& line) {
  // Messages of a megabyte come and go on many threads: few arenas, and no more than 32 MiB kept of what has been
  // freed, so that resident memory follows the budget.
  mallopt(M_ARENA_MAX, 2);
  mallopt(M_MMAP_THRESHOLD, 256 << 10);
  mallopt(M_TRIM_THRESHOLD, 32 << 20);
  // Blocked before there are threads, so that only sigwait below takes them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  auto server = Server::Start(line.server, Clock::System());
  if (!server.ok()) {
    std::fprintf(stderr, "chunkkv-server: %s\n", std::string(server.status().message()).c_str());
    return server.status().code() == absl::StatusCode::kFailedPrecondition ? 2 : 1;  // 2: the options do not fit here
  }
  if (line.server.insecure_listen) std::fprintf(stderr, "warning: listening without TLS (--insecure-listen)\n");
  std::fprintf(stderr, "listening on %s\n", (*server)->address().c_str());
  if (!line.port_file.empty() && !WritePort(line.port_file, (*server)->port())) {
    std::fprintf(stderr, "chunkkv-server: cannot write %s\n", line.port_file.c_str());
    return 1;
  }
  int signal = 0;
  sigwait(&signals, &signal);
  (*server)->Shutdown();
  return 0;
}

}  // namespace chunkkv
