// The server's command line, environment and configuration file.
#ifndef CHUNKKV_SERVICE_OPTIONS_H_
#define CHUNKKV_SERVICE_OPTIONS_H_

#include <optional>
#include <string>
#include <vector>

#include "service/operation/log.h"
#include "service/server.h"

namespace chunkkv {

struct CommandLine {
  ServerOptions server;
  std::string port_file;        // where the bound port is written; empty: nowhere
  std::string admin_port_file;  // the same of the admin port
  LogLevel log_level = LogLevel::kInfo;
  std::vector<std::string> unknown_variables;  // CHUNKKV_* that no option has: perhaps a slip of the pen
};

// Flags, then CHUNKKV_* variables, then the file of --config, then defaults. Empty where the program should end with
// `exit_code`: after --help, --version or --print-config, or because of an error, which has been printed.
std::optional<CommandLine> ParseCommandLine(int argc, char** argv, int* exit_code);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_OPTIONS_H_
