// The options of chunkkv-server, one by one: flags, keys of the configuration file, and CHUNKKV_* variables.
#ifndef CHUNKKV_SERVICE_OPTION_LIST_H_
#define CHUNKKV_SERVICE_OPTION_LIST_H_

#include <cstdint>
#include <string>

#include "service/operation/log.h"
#include "service/server.h"

namespace CLI {
class App;
}

namespace chunkkv {

struct OptionValues {
  ServerOptions server;  // all of it but the sizes, see ToServerOptions
  uint64_t host_memory = uint64_t{4} << 30;
  uint64_t device_memory = 0;
  uint64_t max_entry_bytes = 0;  // 0: host_memory
  uint64_t scrub_bytes_per_second = uint64_t{16} << 20;
  std::string port_file;
  std::string admin_port_file;
  std::string log_level = "info";
};

// `values` must outlive `app`.
void AddOptions(CLI::App& app, OptionValues& values);

ServerOptions ToServerOptions(const OptionValues& values);
// Of one of the names that --log-level takes.
LogLevel ToLogLevel(const std::string& name);

// The variable of an option: CHUNKKV_HOST_MEMORY of "host-memory".
std::string VariableOf(const std::string& option);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_OPTION_LIST_H_
