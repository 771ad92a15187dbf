#include "service/run_server.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <utility>

#include "service/base/clock.h"
#include "service/operation/log.h"
#include "service/rpc/version.h"
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

// Connections, regions and mapped entries are a descriptor each, and the usual 1,024 are fewer than the limits on those.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int RunServer(const CommandLine& line) {
  // Messages of a megabyte come and go on many threads: few arenas, and no more than 32 MiB kept of what has been
  // freed, so that resident memory follows the budget.
  mallopt(M_ARENA_MAX, 2);
  mallopt(M_MMAP_THRESHOLD, 256 << 10);
  mallopt(M_TRIM_THRESHOLD, 32 << 20);
  RaiseDescriptorLimit();
  // Whoever reads the log may go.
  signal(SIGPIPE, SIG_IGN);
  SetLogLevel(line.log_level);
  for (const std::string& variable : line.unknown_variables) {
    Log(LogLevel::kWarning, "no option has this variable", {{log_key::kOption, variable}});
  }
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
  if (line.server.insecure_listen) {
    Log(LogLevel::kWarning, "any peer may connect: listening without certificates of clients",
        {{log_key::kOption, "--insecure-listen"}});
  }
  Log(LogLevel::kInfo, "listening",
      {{log_key::kAddress, (*server)->address()}, {log_key::kVersion, std::string(rpc::kServerVersion)}});
  // The service's own port last: who waits for that finds both.
  for (const auto& [path, port] :
       {std::pair(line.admin_port_file, (*server)->admin_port()), std::pair(line.port_file, (*server)->port())}) {
    if (path.empty() || WritePort(path, port)) continue;
    std::fprintf(stderr, "chunkkv-server: cannot write %s\n", path.c_str());
    return 1;
  }
  int signal = 0;
  sigwait(&signals, &signal);
  Log(LogLevel::kInfo, "draining");
  (*server)->Shutdown();
  Log(LogLevel::kInfo, "ended");
  return 0;
}

}  // namespace chunkkv
