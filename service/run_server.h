// The server as a program.
#ifndef CHUNKKV_SERVICE_RUN_SERVER_H_
#define CHUNKKV_SERVICE_RUN_SERVER_H_

#include "service/options.h"

namespace chunkkv {

// Serves until SIGTERM or SIGINT, then drains. The process's exit code: 0; 1 where it could not serve; 2 where the
// options do not fit this machine.
int RunServer(const CommandLine& line);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_RUN_SERVER_H_
