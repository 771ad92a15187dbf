// chunkkv-server: runs until SIGTERM or SIGINT, then drains and exits 0.
#include "service/options.h"
#include "service/run_server.h"

int main(int argc, char** argv) {
  int exit_code = 0;
  const auto line = chunkkv::ParseCommandLine(argc, argv, &exit_code);
  return line ? chunkkv::RunServer(*line) : exit_code;
}
