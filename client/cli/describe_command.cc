#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "chunkkv/kernels/status.h"
#include "client/cli/command.h"
#include "client/cli/connection_options.h"
#include "client/cli/identity_options.h"
#include "client/cli/kept_map.h"
#include "client/cli/output.h"
#include "client/cli/prompt_file.h"
#include "service/base/status_macros.h"
#include "service/format/record.h"

namespace chunkkv::cli {
namespace {

struct DescribeOptions {
  std::string file;
  std::string id;
  std::string svg;
  int width = 0;
  ConnectionOptions connection;
};

int TerminalWidth() {
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

// A prompt file described as what it would be if all of it were kept.
EntryHeader HeaderOf(const PromptFile& file) {
  EntryHeader header;
  header.layout = file.layout();
  header.token_count = header.next_position = file.token_count();
  header.outcome.budget = header.token_count;
  const int32_t layer_count = AttentionLayerCount(header.layout);
  for (int32_t layer = 0; layer < layer_count; ++layer) header.groups.push_back({layer, 1, -1});
  header.positions.resize(layer_count);
  header.row_counts.assign(layer_count, header.token_count);
  return header;
}

absl::StatusOr<EntryHeader> ReadHeader(const std::string& path) {
  CHUNKKV_ASSIGN_OR_RETURN(const PromptFile file, PromptFile::Open(path));
  if (file.record() == nullptr) return HeaderOf(file);
  CHUNKKV_ASSIGN_OR_RETURN(Record record, ReadRecord(path));
  return std::move(record.header);
}

absl::Status RunDescribe(const DescribeOptions& options, bool json) {
  if (options.file.empty() == options.id.empty()) {
    return InvalidArgument("BAD_USAGE", "describe takes a file, or --id of an entry on a server");
  }
  EntryHeader header;
  nlohmann::json extra = nlohmann::json::object();
  if (!options.file.empty()) {
    CHUNKKV_ASSIGN_OR_RETURN(header, ReadHeader(options.file));
    if (!header.tensors.empty()) extra["body_bytes"] = header.BodyBytes();
  } else {
    CHUNKKV_ASSIGN_OR_RETURN(const client::EntrySelector selector, ParseBytes16(options.id, "--id", "BAD_ENTRY_ID"));
    CHUNKKV_ASSIGN_OR_RETURN(const std::unique_ptr<client::Client> client, options.connection.Connect());
    CHUNKKV_ASSIGN_OR_RETURN(const auto items,
                             client->Describe({&selector, 1}, /*with_positions=*/true, options.connection.Call()));
    CHUNKKV_RETURN_IF_ERROR(items[0].status());
    header = items[0]->header;
    extra = {{"size_bytes", items[0]->size_bytes},
             {"last_used_unix_ms", items[0]->last_used_unix_ms},
             {"pinned_until_unix_ms", items[0]->pinned_until_unix_ms},
             {"hit_count", items[0]->hit_count}};
  }
  if (!options.svg.empty()) {
    std::ofstream svg(options.svg);
    svg << KeptMapSvg(header);
    if (!svg.flush())
      return ErrorStatus(absl::StatusCode::kUnavailable, "WRITE_FAILED", options.svg + " cannot be written");
  }
  if (json) {
    nlohmann::json entry = EntryJson(header, /*with_positions=*/true);
    const bool is_stored = header.entry_digest != Bytes16{};  // a prompt file has no digests yet
    if (!is_stored) entry.erase("entry_digest");
    entry.update(extra);
    PrintJson(entry);
    return absl::OkStatus();
  }
  std::printf("%s\n%s", EntryText(header).c_str(),
              KeptMapText(header, options.width > 0 ? options.width : TerminalWidth()).c_str());
  return absl::OkStatus();
}

}  // namespace

void AddDescribeCommand(CLI::App& app, Command& command) {
  CLI::App* describe = app.add_subcommand("describe", "Describe a record or an entry, with a map of what was kept");
  auto options = std::make_shared<DescribeOptions>();
  describe->add_option("file", options->file, "a record, or the input of compact");
  describe->add_option("--id", options->id, "an entry on a server: 32 hexadecimal digits");
  options->connection.AddTo(*describe);
  describe->add_option("--svg", options->svg, "write the map as SVG to this file");
  describe->add_option("--width", options->width, "characters of the map [the terminal's]")
      ->check(CLI::Range(20, 10000));
  describe->add_flag("--json", command.json, "print JSON");
  describe->footer(
      "In the map * marks the layer that chose for its group.\n"
      "Examples:\n"
      "  chunkkv describe entry.safetensors --svg kept.svg\n"
      "  chunkkv describe --id 0123456789abcdef0123456789abcdef --json");
  describe->callback(
      [options, &command] { command.run = [options, &command] { return RunDescribe(*options, command.json); }; });
}

}  // namespace chunkkv::cli
