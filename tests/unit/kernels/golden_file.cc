#include "tests/unit/kernels/golden_file.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

namespace chunkkv::testing {
namespace {

// Where the tree lies: as it was built, unless the environment knows better.
std::string SourceFolder() {
  const char* said = std::getenv("CHUNKKV_SOURCE_DIR");
  return said != nullptr ? said : CHUNKKV_SOURCE_DIR;
}

}  // namespace

std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

GoldenFile ReadGoldenFile(const std::string& path) {
  const std::string content = ReadText(path);
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, content.data(), sizeof header_bytes);
  const nlohmann::json header = nlohmann::json::parse(content.substr(8, header_bytes));
  GoldenFile file;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") {
      file.metadata = value.get<std::map<std::string, std::string>>();
      continue;
    }
    GoldenTensor& tensor = file.tensors[name];
    tensor.dtype = value["dtype"];
    tensor.shape = value["shape"].get<std::vector<int64_t>>();
    const size_t begin = value["data_offsets"][0];
    const size_t end = value["data_offsets"][1];
    tensor.bytes.resize(end - begin);
    std::memcpy(tensor.bytes.data(), content.data() + 8 + header_bytes + begin, end - begin);
  }
  return file;
}

std::vector<std::string> GoldenStems(const std::string& folder, const std::string& suffix) {
  std::vector<std::string> stems;
  const std::string root = SourceFolder() + "/tests/golden/" + folder;
  for (const auto& item : std::filesystem::directory_iterator(root)) {
    const std::string path = item.path().string();
    if (path.ends_with(suffix)) stems.push_back(path.substr(0, path.size() - suffix.size()));
  }
  std::sort(stems.begin(), stems.end());
  return stems;
}

}  // namespace chunkkv::testing
