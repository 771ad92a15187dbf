#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstring>

#include "chunkkv/kernels/status.h"
#include "client/cli/command.h"
#include "client/cli/server_process.h"
#include "service/base/status_macros.h"

namespace chunkkv::cli {
namespace {

absl::Status RunServe(std::vector<std::string> flags) {
  CHUNKKV_ASSIGN_OR_RETURN(std::string program, FindServerProgram());
  std::vector<char*> argv = {program.data()};
  for (std::string& flag : flags) argv.push_back(flag.data());
  argv.push_back(nullptr);
  execv(program.c_str(), argv.data());
  return ErrorStatus(absl::StatusCode::kUnavailable, "SERVER_NOT_STARTED", program + ": " + std::strerror(errno));
}

}  // namespace

void AddServeCommand(CLI::App& app, Command& command) {
  CLI::App* serve = app.add_subcommand("serve", "Run a server in this process; takes the flags of chunkkv-server");
  serve->prefix_command();
  serve->set_help_flag();  // --help is the server's own
  serve->callback([serve, &command] {
    std::vector<std::string> flags = serve->remaining();
    command.run = [flags = std::move(flags)] { return RunServe(flags); };
  });
}

}  // namespace chunkkv::cli
