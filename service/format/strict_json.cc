#include "service/format/strict_json.h"

#include <set>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

namespace chunkkv {
namespace {

using nlohmann::json;

constexpr size_t kMaxDepth = 8;
constexpr size_t kMaxContainers = size_t{1} << 17;

class LimitsCheck : public nlohmann::json_sax<json> {
 public:
  bool start_object(std::size_t) override { return Enter(); }
  bool start_array(std::size_t) override { return Enter(); }
  bool end_object() override { return Leave(); }
  bool end_array() override { return Leave(); }
  bool key(std::string& name) override { return keys_.back().insert(name).second; }
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const std::string&) override { return true; }
  bool string(std::string&) override { return true; }
  bool binary(binary_t&) override { return false; }
  bool parse_error(std::size_t, const std::string&, const json::exception&) override { return false; }

 private:
  bool Enter() {
    keys_.emplace_back();
    return keys_.size() <= kMaxDepth && ++container_count_ <= kMaxContainers;
  }
  bool Leave() {
    keys_.pop_back();
    return true;
  }

  std::vector<std::set<std::string>> keys_;  // of the objects and lists that are open
  size_t container_count_ = 0;
};

}  // namespace

bool ParseStrictJson(std::string_view text, json* value) {
  LimitsCheck check;
  if (!json::sax_parse(text.begin(), text.end(), &check)) return false;
  *value = json::parse(text.begin(), text.end(), nullptr, false);
  return !value->is_discarded();
}

}  // namespace chunkkv
