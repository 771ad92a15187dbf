#include "client/cli/server_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <climits>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"

namespace chunkkv::cli {
namespace {

constexpr auto kStartPatience = std::chrono::seconds(30);
constexpr auto kPoll = std::chrono::milliseconds(10);

absl::Status NotStarted(const std::string& text) {
  return ErrorStatus(absl::StatusCode::kUnavailable, "SERVER_NOT_STARTED", text);
}

// The port that the server wrote, once the line is whole.
std::string ReadPort(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  return std::getline(file, line) && !file.eof() ? line : "";
}

}  // namespace

absl::StatusOr<std::string> FindServerProgram() {
  char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
  if (size <= 0) return ErrorStatus(absl::StatusCode::kNotFound, "SERVER_NOT_FOUND", "/proc/self/exe cannot be read");
  const std::string own(path, static_cast<size_t>(size));
  const std::string folder = own.substr(0, own.rfind('/'));
  for (const char* place : {"/chunkkv-server", "/../../service/chunkkv-server"}) {
    if (access((folder + place).c_str(), X_OK) == 0) return folder + place;
  }
  return ErrorStatus(absl::StatusCode::kNotFound, "SERVER_NOT_FOUND", "there is no chunkkv-server beside " + own);
}

absl::StatusOr<std::unique_ptr<ServerProcess>> ServerProcess::Start(const std::string& program,
                                                                    const std::vector<std::string>& arguments) {
  char folder[] = "/tmp/chunkkv-XXXXXX";
  if (mkdtemp(folder) == nullptr) return NotStarted("no temporary folder can be made");
  const std::string port_file = std::string(folder) + "/port";
  std::vector<std::string> words = {program, "--listen", "127.0.0.1:0", "--port-file", port_file};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid < 0) return NotStarted("fork failed");
  if (pid == 0) {
    const int null = open("/dev/null", O_RDWR);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    execv(program.c_str(), argv.data());
    _exit(127);
  }
  std::unique_ptr<ServerProcess> server(new ServerProcess(pid));
  const auto deadline = std::chrono::steady_clock::now() + kStartPatience;
  std::string port;
  while ((port = ReadPort(port_file)).empty() && std::chrono::steady_clock::now() < deadline) {
    siginfo_t info{};
    if (waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid) break;
    std::this_thread::sleep_for(kPoll);
  }
  unlink(port_file.c_str());
  rmdir(folder);
  if (port.empty()) return NotStarted(program + " does not listen");
  server->address_ = "127.0.0.1:" + port;
  return server;
}

void ServerProcess::Kill() { kill(pid_, SIGKILL); }

ServerProcess::~ServerProcess() {
  kill(pid_, SIGTERM);
  waitpid(pid_, nullptr, 0);
}

}  // namespace chunkkv::cli
