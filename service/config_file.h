// The configuration file: TOML whose keys are the flags without their dashes.
#ifndef CHUNKKV_SERVICE_CONFIG_FILE_H_
#define CHUNKKV_SERVICE_CONFIG_FILE_H_

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <istream>
#include <vector>

namespace chunkkv {

// CLI11 takes a file before the environment. Here a variable that is set wins: what the file says of its option is
// passed over. An empty one is none, as it is to CLI11.
class ConfigFile : public CLI::ConfigTOML {
 public:
  // `app` must outlive it.
  explicit ConfigFile(const CLI::App& app) : app_(app) {}
  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override;

 private:
  const CLI::App& app_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_CONFIG_FILE_H_
