#include "tests/support/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>
#include <utility>

#include "service/base/check.h"

extern char** environ;

namespace chunkkv {
namespace {

std::string NewFileName() {
  char name[] = "/tmp/chunkkv_port_XXXXXX";
  const int file = mkstemp(name);
  CHUNKKV_CHECK(file >= 0);
  close(file);
  unlink(name);
  return name;
}

std::vector<std::string> Concatenate(std::vector<std::string> first, const std::vector<std::string>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& arguments) {
  int pipe_ends[2];
  CHUNKKV_CHECK(pipe2(pipe_ends, O_CLOEXEC) == 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDOUT_FILENO);
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  CHUNKKV_CHECK(posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ) == 0);
  posix_spawn_file_actions_destroy(&actions);
  close(pipe_ends[1]);
  output_ = pipe_ends[0];
}

ChildProcess::~ChildProcess() {
  if (!ended_) {
    Signal(SIGKILL);
    Wait();
  }
  close(output_);
}

std::string ChildProcess::ReadLine() {
  std::string line;
  char c;
  while (read(output_, &c, 1) == 1 && c != '\n') line.push_back(c);
  return line;
}

void ChildProcess::Signal(int signal) { kill(pid_, signal); }

int ChildProcess::Wait() {
  int status = 0;
  CHUNKKV_CHECK(waitpid(pid_, &status, 0) == pid_);
  ended_ = true;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int64_t ChildProcess::StatusBytes(const std::string& field) const {
  std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(field, 0) == 0) return std::strtoll(line.c_str() + field.size(), nullptr, 10) * 1024;
  }
  return -1;
}

ServerProcess::ServerProcess(const std::string& program, const std::vector<std::string>& flags)
    : port_file_(NewFileName()),
      process_(Concatenate({program, "--listen", "127.0.0.1:0", "--port-file", port_file_}, flags)) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  int port = 0;
  while (port == 0) {
    CHUNKKV_CHECK(std::chrono::steady_clock::now() < end);
    std::ifstream(port_file_) >> port;
    std::this_thread::yield();
  }
  unlink(port_file_.c_str());
  address_ = "127.0.0.1:" + std::to_string(port);
}

}  // namespace chunkkv
