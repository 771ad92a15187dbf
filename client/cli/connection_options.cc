#include "client/cli/connection_options.h"

#include <CLI/CLI.hpp>

#include "absl/strings/ascii.h"
#include "service/base/status_macros.h"
#include "service/format/small_file.h"

namespace chunkkv::cli {
namespace {

constexpr int64_t kMaxTokenFileBytes = 4096;
constexpr int64_t kMaxPemBytes = 1 << 20;

// Nothing where no file is named.
absl::Status ReadPem(const std::string& path, std::string* text) {
  if (path.empty()) return absl::OkStatus();
  CHUNKKV_ASSIGN_OR_RETURN(*text, ReadSmallFile(path, kMaxPemBytes, "BAD_PEM_FILE"));
  return absl::OkStatus();
}

}  // namespace

void ConnectionOptions::AddTo(CLI::App& app) {
  app.add_option("--address", address_, "server, host:port or unix:/path; or CHUNKKV_ADDRESS")
      ->envname("CHUNKKV_ADDRESS")
      ->capture_default_str();
  app.add_option("--timeout-ms", timeout_ms_, "of the whole call; 0: the server's limit")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--tls-ca", ca_file_, "TLS: certificates of the server's authority; or CHUNKKV_TLS_CA")
      ->type_name("PEM")
      ->envname("CHUNKKV_TLS_CA");
  CLI::Option* const certificate =
      app.add_option("--tls-certificate", certificate_file_, "the client's own; or CHUNKKV_TLS_CERTIFICATE")
          ->type_name("PEM")
          ->envname("CHUNKKV_TLS_CERTIFICATE");
  CLI::Option* const key = app.add_option("--tls-key", key_file_, "its key; or CHUNKKV_TLS_KEY")
                               ->type_name("PEM")
                               ->envname("CHUNKKV_TLS_KEY");
  certificate->needs(key);
  key->needs(certificate);
  app.add_option("--token-file", token_file_, "file with the tenant's bearer token; or CHUNKKV_TOKEN_FILE")
      ->type_name("PATH")
      ->envname("CHUNKKV_TOKEN_FILE");
  app.add_option("--share-group", share_group_, "work with this group's entries, not the tenant's own")
      ->type_name("NAME")
      ->envname("CHUNKKV_SHARE_GROUP");
}

absl::StatusOr<std::unique_ptr<client::Client>> ConnectionOptions::Connect() const {
  client::ConnectOptions options;
  options.share_group = share_group_;
  if (!token_file_.empty()) {
    CHUNKKV_ASSIGN_OR_RETURN(options.token, ReadSmallFile(token_file_, kMaxTokenFileBytes, "BAD_TOKEN_FILE"));
    absl::StripTrailingAsciiWhitespace(&options.token);
  }
  if (!ca_file_.empty() || !certificate_file_.empty()) {
    client::TlsOptions& tls = options.tls.emplace();
    CHUNKKV_RETURN_IF_ERROR(ReadPem(ca_file_, &tls.root_certificates));
    CHUNKKV_RETURN_IF_ERROR(ReadPem(certificate_file_, &tls.certificate_chain));
    CHUNKKV_RETURN_IF_ERROR(ReadPem(key_file_, &tls.private_key));
  }
  return client::Client::Connect(address_, options);
}

client::CallOptions ConnectionOptions::Call() const {
  client::CallOptions options;
  options.timeout = std::chrono::milliseconds(timeout_ms_);
  return options;
}

}  // namespace chunkkv::cli
