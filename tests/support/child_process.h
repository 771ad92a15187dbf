// Another program, run beside a test.
#ifndef CHUNKKV_TESTS_SUPPORT_CHILD_PROCESS_H_
#define CHUNKKV_TESTS_SUPPORT_CHILD_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace chunkkv {

class ChildProcess {
 public:
  // arguments[0] is the program's path. Its standard output is read by ReadLine.
  explicit ChildProcess(const std::vector<std::string>& arguments);
  // Kills it, if it still runs.
  ~ChildProcess();

  // The next line of its output without the newline; empty at its end. Blocks.
  std::string ReadLine();
  void Signal(int signal);
  // Waits for its end: the exit code, or minus the signal that ended it.
  int Wait();
  pid_t pid() const { return pid_; }
  // As /proc tells it: now, and at most so far.
  int64_t ResidentBytes() const { return StatusBytes("VmRSS:"); }
  int64_t PeakResidentBytes() const { return StatusBytes("VmHWM:"); }

 private:
  int64_t StatusBytes(const std::string& field) const;

  pid_t pid_ = -1;
  int output_ = -1;
  bool ended_ = false;
};

// chunkkv-server on a free port of loopback.
class ServerProcess {
 public:
  // `program`: the server's path.
  ServerProcess(const std::string& program, const std::vector<std::string>& flags);
  const std::string& address() const { return address_; }
  ChildProcess& process() { return process_; }
  const ChildProcess& process() const { return process_; }

 private:
  const std::string port_file_;
  ChildProcess process_;
  std::string address_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_SUPPORT_CHILD_PROCESS_H_
