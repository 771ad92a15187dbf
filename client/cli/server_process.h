// The chunkkv-server program beside this one.
#ifndef CHUNKKV_CLIENT_CLI_SERVER_PROCESS_H_
#define CHUNKKV_CLIENT_CLI_SERVER_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace chunkkv::cli {

// In this program's folder, or where the build tree has it. Errors: NOT_FOUND (SERVER_NOT_FOUND).
absl::StatusOr<std::string> FindServerProgram();

// A server on a loopback port of its own choice, stopped on destruction.
class ServerProcess {
 public:
  // Blocks until `program` listens. Errors: UNAVAILABLE (SERVER_NOT_STARTED).
  static absl::StatusOr<std::unique_ptr<ServerProcess>> Start(const std::string& program,
                                                              const std::vector<std::string>& arguments);
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;
  const std::string& address() const { return address_; }
  // At once, with all that it does.
  void Kill();

 private:
  explicit ServerProcess(pid_t pid) : pid_(pid) {}
  const pid_t pid_;
  std::string address_;
};

}  // namespace chunkkv::cli

#endif  // CHUNKKV_CLIENT_CLI_SERVER_PROCESS_H_
