// Flags of every subcommand that talks to a server.
#ifndef CHUNKKV_CLIENT_CLI_CONNECTION_OPTIONS_H_
#define CHUNKKV_CLIENT_CLI_CONNECTION_OPTIONS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "chunkkv/client/client.h"

namespace CLI {
class App;
}

namespace chunkkv::cli {

inline constexpr char kDefaultAddress[] = "127.0.0.1:7421";

class ConnectionOptions {
 public:
  void AddTo(CLI::App& app);
  absl::StatusOr<std::unique_ptr<client::Client>> Connect() const;
  client::CallOptions Call() const;
  const std::string& address() const { return address_; }

 private:
  std::string address_ = kDefaultAddress;
  int64_t timeout_ms_ = 0;
  std::string ca_file_;
  std::string certificate_file_;
  std::string key_file_;
  std::string token_file_;
  std::string share_group_;
};

}  // namespace chunkkv::cli

#endif  // CHUNKKV_CLIENT_CLI_CONNECTION_OPTIONS_H_
