// The files of tests/golden/records: what every later version must still read, and must still refuse.
// CHUNKKV_UPDATE_GOLDEN=1 writes them anew; only for a new format version.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

#include "chunkkv/kernels/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "service/format/record.h"
#include "tests/unit/format/broken_records.h"
#include "tests/unit/format/test_entry.h"

namespace chunkkv {
namespace {

using nlohmann::json;

const std::string kFolder = CHUNKKV_SOURCE_DIR "/tests/golden/records/";

std::string FileBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << bytes;
  ASSERT_TRUE(file.flush().good()) << path;
}

std::map<std::string, TestEntry> GoodEntries() {
  return {{"good-compacted", CompactedEntry()},
          {"good-full-bare", BareFullEntry()},
          {"good-latent", LatentEntry()},
          {"good-mixed", MixedEntry()}};
}

class GoldenRecordsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const char* update = std::getenv("CHUNKKV_UPDATE_GOLDEN");
    if (update == nullptr || std::string(update) != "1") return;
    json index = {{"good", json::array()}, {"broken", json::array()}};
    for (const auto& [name, entry] : GoodEntries()) {
      WriteFile(kFolder + name + ".safetensors", Encoded(entry));
      index["good"].push_back({{"file", name + ".safetensors"}});
    }
    for (const BrokenRecord& record : BrokenRecords()) {
      WriteFile(kFolder + "broken-" + record.name + ".safetensors", record.bytes);
      index["broken"].push_back({{"file", "broken-" + record.name + ".safetensors"},
                                 {"status", record.status},
                                 {"reason", record.reason},
                                 {"says", record.says}});
    }
    WriteFile(kFolder + "index.json", index.dump(1) + "\n");
  }

  static json Index() { return json::parse(FileBytes(kFolder + "index.json"), nullptr, false); }
};

TEST_F(GoldenRecordsTest, ReadsEveryGoodRecord) {
  const std::map<std::string, TestEntry> entries = GoodEntries();
  const json index = Index();
  ASSERT_EQ(index["good"].size(), entries.size());
  for (const auto& [name, entry] : entries) {
    const std::string path = kFolder + name + ".safetensors";
    const auto record = ReadRecord(path);
    ASSERT_TRUE(record.ok()) << name << ": " << record.status();
    EXPECT_EQ(record->body, entry.body) << name;
    EXPECT_EQ(record->header.positions, entry.header.positions) << name;
    EXPECT_EQ(record->header.entry_digest, entry.header.entry_digest) << name;
  }
}

TEST_F(GoldenRecordsTest, StillWritesTheSameBytes) {
  for (const auto& [name, entry] : GoodEntries()) {
    EXPECT_EQ(FileBytes(kFolder + name + ".safetensors"), Encoded(entry)) << name;
  }
}

TEST_F(GoldenRecordsTest, RefusesEveryBrokenRecordByName) {
  const json index = Index();
  for (const json& item : index["broken"]) {
    const std::string file = item["file"];
    ASSERT_TRUE(std::filesystem::exists(kFolder + file)) << file;
    const absl::Status status = ReadRecord(kFolder + file).status();
    EXPECT_EQ(absl::StatusCodeToString(status.code()), item["status"].get<std::string>()) << file << ": " << status;
    EXPECT_EQ(StatusReason(status), item["reason"].get<std::string>()) << file << ": " << status;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(item["says"].get<std::string>())) << file;
  }
}

TEST_F(GoldenRecordsTest, KeepsEveryBrokenCaseOnFile) {
  std::map<std::string, std::string> expected;
  for (const BrokenRecord& record : BrokenRecords()) {
    const std::string file = "broken-" + record.name + ".safetensors";
    ASSERT_TRUE(expected.emplace(file, record.status + " " + record.reason).second) << file;
    EXPECT_EQ(FileBytes(kFolder + file), record.bytes) << file;
    EXPECT_EQ(record.bytes.empty(), record.name == "empty") << file << ": nothing was replaced";
  }
  std::map<std::string, std::string> on_file;
  const json index = Index();
  for (const json& item : index["broken"]) {
    on_file[item["file"]] = item["status"].get<std::string>() + " " + item["reason"].get<std::string>();
  }
  EXPECT_EQ(on_file, expected);
}

}  // namespace
}  // namespace chunkkv
