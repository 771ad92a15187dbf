#include "service/options.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

#include "service/config_file.h"
#include "service/option_list.h"
#include "service/rpc/version.h"

namespace chunkkv {
namespace {

constexpr char kConfigVariable[] = "CHUNKKV_CONFIG";

// The first option that lacks what it needs, in a line; empty: none does.
std::string MissingNeed(const ServerOptions& server) {
  using Asked = std::pair<bool, const char*>;
  for (const auto& [is_asked, option] :
       {Asked(server.map_entries, "--map-entries"), Asked(server.device_regions, "--device-regions")}) {
    if (is_asked && server.local_socket.path.empty()) return std::string(option) + " needs --local-socket";
  }
  for (const auto& [is_asked, option] :
       {Asked(server.device_regions, "--device-regions"), Asked(server.channels.enabled, "--nccl"),
        Asked(server.device_memory_bytes > 0, "--device-memory")}) {
    if (is_asked && server.device == "cpu") return std::string(option) + " needs a GPU, and --device is cpu";
  }
  return "";
}

void AddConfigFile(CLI::App& app) {
  const char* const variable = std::getenv(kConfigVariable);
  const std::string path = variable == nullptr ? "" : variable;
  app.set_config("--config", path, "File of options: TOML, a flag without its dashes a key; or CHUNKKV_CONFIG",
                 /*config_required=*/!path.empty())
      ->type_name("TOML")
      ->group("Operation");
  app.config_formatter(std::make_shared<ConfigFile>(app));
  app.allow_config_extras(CLI::config_extras_mode::error);
}

// As a file that --config takes: what is not set, and has no default that could be written, stands as a comment.
std::string ConfigText(const CLI::App& app) {
  std::string text;
  std::istringstream lines(app.config_to_str(/*default_also=*/true, /*write_description=*/true));
  for (std::string line; std::getline(lines, line);) {
    const bool is_unset = line.ends_with("=\"\"") || line.ends_with("=\"[]\"");
    text += (is_unset ? "#" : "") + line + "\n";
  }
  return text;
}

std::vector<std::string> UnknownVariables(const CLI::App& app) {
  std::set<std::string> known = {kConfigVariable};
  for (const CLI::Option* option : app.get_options()) known.insert(option->get_envname());
  std::vector<std::string> unknown;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    const std::string name(text.substr(0, text.find('=')));
    if (name.starts_with("CHUNKKV_") && !known.contains(name)) unknown.push_back(name);
  }
  return unknown;
}

// Returns the exit code: 0 after --help and --version.
int Report(const CLI::App& app, const CLI::ParseError& error) {
  if (const auto* unknown = dynamic_cast<const CLI::ConfigError*>(&error)) {
    std::cerr << "--config: no such option, or no value for it: " << unknown->what() << '\n';
    return 2;
  }
  return app.exit(error) == 0 ? 0 : 2;
}

}  // namespace

std::optional<CommandLine> ParseCommandLine(int argc, char** argv, int* exit_code) {
  CLI::App app("Serves compacted KV caches over gRPC (chunkkv.v1.KvCacheService).", "chunkkv-server");
  app.set_version_flag("--version", std::string("chunkkv-server ") + rpc::kServerVersion);
  app.footer(
      "Examples:\n"
      "  chunkkv-server --listen 127.0.0.1:7421 --host-memory 8GiB\n"
      "  chunkkv-server --config /etc/chunkkv/server.toml --print-config\n"
      "Every option can also be set by its CHUNKKV_* variable. Flags win over variables, these over the file.");
  OptionValues values;
  AddOptions(app, values);
  AddConfigFile(app);
  bool print_config = false;
  app.add_flag("--print-config", print_config, "Print all options as a configuration file, and exit")
      ->configurable(false)
      ->group("Operation");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    *exit_code = Report(app, error);
    return std::nullopt;
  }
  CommandLine line{ToServerOptions(values), values.port_file, values.admin_port_file, ToLogLevel(values.log_level),
                   UnknownVariables(app)};
  if (const std::string missing = MissingNeed(line.server); !missing.empty()) {
    std::cerr << missing << '\n';
    *exit_code = 2;
    return std::nullopt;
  }
  if (print_config) {
    std::cout << ConfigText(app);
    *exit_code = 0;
    return std::nullopt;
  }
  return line;
}

}  // namespace chunkkv
