// chunkkv-server, for machines without a GPU: the host stands for the device.
#include <memory>

#include "service/options.h"
#include "service/run_server.h"
#include "tests/support/host_channels.h"
#include "tests/support/host_device_memory.h"

int main(int argc, char** argv) {
  int exit_code = 0;
  auto line = chunkkv::ParseCommandLine(argc, argv, &exit_code);
  if (!line) return exit_code;
  line->server.device = "cpu";
  line->server.open_device_memory = [] { return std::make_unique<chunkkv::HostDeviceMemory>(); };
  line->server.open_channels = [path = line->server.channels.library_path] { return chunkkv::OpenHostChannels(path); };
  return chunkkv::RunServer(*line);
}
