#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/connection_options.h"
#include "client/cli/exit_code.h"
#include "client/cli/identity_options.h"
#include "client/cli/output.h"
#include "service/base/status_macros.h"

namespace chunkkv::cli {
namespace {

struct DeleteOptions {
  ConnectionOptions connection;
  std::vector<std::string> ids;
};

absl::Status RunDelete(const DeleteOptions& options, bool json) {
  std::vector<client::EntrySelector> selectors;
  for (const std::string& id : options.ids) {
    CHUNKKV_ASSIGN_OR_RETURN(const Bytes16 entry_id, ParseBytes16(id, "--id", "BAD_ENTRY_ID"));
    selectors.emplace_back(entry_id);
  }
  CHUNKKV_ASSIGN_OR_RETURN(const std::unique_ptr<client::Client> client, options.connection.Connect());
  CHUNKKV_ASSIGN_OR_RETURN(const std::vector<absl::Status> results,
                           client->Delete(selectors, options.connection.Call()));
  nlohmann::json items = nlohmann::json::array();
  absl::Status first_failure;
  for (size_t i = 0; i < results.size(); ++i) {
    nlohmann::json item = {{"entry_id", options.ids[i]}, {"deleted", results[i].ok()}};
    if (!results[i].ok()) item.update(nlohmann::json::parse(ErrorText(results[i], /*json=*/true)));
    items.push_back(std::move(item));
    if (first_failure.ok()) first_failure = results[i];
    if (!json && results[i].ok()) std::printf("deleted %s\n", options.ids[i].c_str());
  }
  if (json) PrintJson(items);
  return first_failure;
}

}  // namespace

void AddDeleteCommand(CLI::App& app, Command& command) {
  CLI::App* remove = app.add_subcommand("delete", "Remove entries");
  auto options = std::make_shared<DeleteOptions>();
  options->connection.AddTo(*remove);
  remove->add_option("--id", options->ids, "entries: 32 hexadecimal digits each")->required();
  remove->add_flag("--json", command.json, "print JSON");
  remove->footer("Example:\n  chunkkv delete --id 0123456789abcdef0123456789abcdef");
  remove->callback(
      [options, &command] { command.run = [options, &command] { return RunDelete(*options, command.json); }; });
}

}  // namespace chunkkv::cli
