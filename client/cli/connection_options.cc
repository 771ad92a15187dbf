#include "client/cli/connection_options.h"

#include <CLI/CLI.hpp>

namespace chunkkv::cli {

void ConnectionOptions::AddTo(CLI::App& app) {
  app.add_option("--address", address_, "server, host:port or unix:/path; or CHUNKKV_ADDRESS")
      ->envname("CHUNKKV_ADDRESS")
      ->capture_default_str();
  app.add_option("--timeout-ms", timeout_ms_, "of the whole call; 0: the server's limit")
      ->check(CLI::NonNegativeNumber);
}

absl::StatusOr<std::unique_ptr<client::Client>> ConnectionOptions::Connect() const {
  return client::Client::Connect(address_);
}

client::CallOptions ConnectionOptions::Call() const {
  client::CallOptions options;
  options.timeout = std::chrono::milliseconds(timeout_ms_);
  return options;
}

}  // namespace chunkkv::cli
