#include "service/config_file.h"

#include <cstdlib>

namespace chunkkv {

std::vector<CLI::ConfigItem> ConfigFile::from_config(std::istream& input) const {
  std::vector<CLI::ConfigItem> items = CLI::ConfigTOML::from_config(input);
  std::erase_if(items, [this](const CLI::ConfigItem& item) {
    const CLI::Option* const option = app_.get_option_no_throw("--" + item.name);
    if (option == nullptr || option->get_envname().empty()) return false;
    const char* const variable = std::getenv(option->get_envname().c_str());
    return variable != nullptr && *variable != '\0';
  });
  return items;
}

}  // namespace chunkkv
