// The `chunkkv` command: one subcommand a file.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string>

#include "chunkkv/kernels/status.h"
#include "client/cli/command.h"
#include "client/cli/exit_code.h"

int main(int argc, char** argv) {
  namespace cli = chunkkv::cli;
  CLI::App app("ChunkKV: compacts LLM KV caches and serves them.", "chunkkv");
  app.require_subcommand(1);
  app.footer(cli::ExitCodeHelp());
  cli::Command command;
  cli::AddServeCommand(app, command);
  cli::AddPutCommand(app, command);
  cli::AddGetCommand(app, command);
  cli::AddFindCommand(app, command);
  cli::AddDescribeCommand(app, command);
  cli::AddListCommand(app, command);
  cli::AddPinCommand(app, command);
  cli::AddDeleteCommand(app, command);
  cli::AddStatsCommand(app, command);
  cli::AddCompactCommand(app, command);
  cli::AddTuneCommand(app, command);
  cli::AddBenchCommand(app, command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool json =
        std::any_of(argv, argv + argc, [](const char* argument) { return argument == std::string("--json"); });
    if (!json || error.get_exit_code() == 0) return app.exit(error) == 0 ? 0 : cli::kUsageExitCode;
    std::fprintf(stderr, "%s\n", cli::ErrorText(chunkkv::InvalidArgument("BAD_USAGE", error.what()), json).c_str());
    return cli::kUsageExitCode;
  }
  const absl::Status status = command.run();
  if (!status.ok()) std::fprintf(stderr, "%s\n", cli::ErrorText(status, command.json).c_str());
  return cli::ExitCodeOf(status);
}
