#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "chunkkv/kernels/status.h"
#include "client/cli/command.h"
#include "client/cli/connection_options.h"
#include "client/cli/identity_options.h"
#include "client/cli/output.h"
#include "service/base/status_macros.h"

namespace chunkkv::cli {
namespace {

struct PinOptions {
  ConnectionOptions connection;
  std::string id;
  std::string unpin;
  int64_t duration_ms = 60'000;
};

absl::Status RunPin(const PinOptions& options, bool json) {
  if (options.id.empty() == options.unpin.empty()) {
    return InvalidArgument("BAD_USAGE", "pin takes --id of an entry, or --unpin of a pin");
  }
  CHUNKKV_ASSIGN_OR_RETURN(const Bytes16 id, ParseBytes16(options.id + options.unpin, "the id", "BAD_ENTRY_ID"));
  CHUNKKV_ASSIGN_OR_RETURN(const std::unique_ptr<client::Client> client, options.connection.Connect());
  if (!options.unpin.empty()) {
    CHUNKKV_ASSIGN_OR_RETURN(const std::vector<absl::Status> ended, client->Unpin({&id, 1}, options.connection.Call()));
    if (json && ended[0].ok()) PrintJson({{"unpinned", ToHex(id)}});
    return ended[0];
  }
  const client::EntrySelector selector(id);
  CHUNKKV_ASSIGN_OR_RETURN(
      const auto pins,
      client->PinEntries({&selector, 1}, std::chrono::milliseconds(options.duration_ms), options.connection.Call()));
  CHUNKKV_RETURN_IF_ERROR(pins[0].status());
  if (json) {
    PrintJson({{"pin_id", ToHex(pins[0]->id)}, {"expires_unix_ms", pins[0]->expires_unix_ms}});
  } else {
    std::printf("%s\n", ToHex(pins[0]->id).c_str());
  }
  return absl::OkStatus();
}

}  // namespace

void AddPinCommand(CLI::App& app, Command& command) {
  CLI::App* pin = app.add_subcommand("pin", "Keep an entry from eviction for a while");
  auto options = std::make_shared<PinOptions>();
  options->connection.AddTo(*pin);
  pin->add_option("--id", options->id, "entry: 32 hexadecimal digits; prints the pin's id");
  pin->add_option("--unpin", options->unpin, "end this pin instead: 32 hexadecimal digits");
  pin->add_option("--duration-ms", options->duration_ms, "length of the pin")->capture_default_str();
  pin->add_flag("--json", command.json, "print JSON");
  pin->footer("Example:\n  chunkkv pin --id 0123456789abcdef0123456789abcdef --duration-ms 600000");
  pin->callback([options, &command] { command.run = [options, &command] { return RunPin(*options, command.json); }; });
}

}  // namespace chunkkv::cli
