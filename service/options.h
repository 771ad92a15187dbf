// The server's command line and environment.
#ifndef CHUNKKV_SERVICE_OPTIONS_H_
#define CHUNKKV_SERVICE_OPTIONS_H_

#include <optional>
#include <string>

#include "service/server.h"

namespace chunkkv {

struct CommandLine {
  ServerOptions server;
  std::string port_file;  // where the bound port is written; empty: nowhere
};

// Flags, then CHUNKKV_* variables, then defaults. Empty where the program should end with `exit_code`: after --help or
// --version, or because of an error, which has been printed.
std::optional<CommandLine> ParseCommandLine(int argc, char** argv, int* exit_code);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_OPTIONS_H_
