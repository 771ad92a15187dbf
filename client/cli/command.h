// How a subcommand joins the program: it declares its options, and says what to run once they are parsed.
#ifndef CHUNKKV_CLIENT_CLI_COMMAND_H_
#define CHUNKKV_CLIENT_CLI_COMMAND_H_

#include <functional>

#include "absl/status/status.h"

namespace CLI {
class App;
}

namespace chunkkv::cli {

struct Command {
  std::function<absl::Status()> run;  // of the subcommand that was chosen
  bool json = false;                  // machine-readable data on stdout, and errors as JSON on stderr
};

void AddServeCommand(CLI::App& app, Command& command);
void AddPutCommand(CLI::App& app, Command& command);
void AddGetCommand(CLI::App& app, Command& command);
void AddFindCommand(CLI::App& app, Command& command);
void AddDescribeCommand(CLI::App& app, Command& command);
void AddListCommand(CLI::App& app, Command& command);
void AddPinCommand(CLI::App& app, Command& command);
void AddDeleteCommand(CLI::App& app, Command& command);
void AddStatsCommand(CLI::App& app, Command& command);
void AddCompactCommand(CLI::App& app, Command& command);
void AddTuneCommand(CLI::App& app, Command& command);
void AddBenchCommand(CLI::App& app, Command& command);

}  // namespace chunkkv::cli

#endif  // CHUNKKV_CLIENT_CLI_COMMAND_H_
