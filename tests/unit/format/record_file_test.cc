#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "chunkkv/kernels/status.h"
#include "gtest/gtest.h"
#include "service/format/record.h"
#include "service/format/safetensors.h"
#include "tests/unit/format/test_entry.h"

namespace chunkkv {
namespace {

namespace fs = std::filesystem;

class RecordFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "chunkkv_record_XXXXXX";
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    folder_ = path;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string PathOf(const std::string& name) const { return folder_ + "/" + name; }
  size_t FileCount() const { return std::distance(fs::directory_iterator(folder_), {}); }

  std::string folder_;
};

std::string FileBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_F(RecordFileTest, ReadsBackWhatWasWritten) {
  const TestEntry entry = MixedEntry();
  ASSERT_TRUE(WriteRecord(PathOf("a"), entry.header, entry.body).ok());
  EXPECT_EQ(FileBytes(PathOf("a")), Encoded(entry));
  EXPECT_EQ(FileCount(), 1u) << "a temporary file was left";
  struct stat status;
  ASSERT_EQ(::stat(PathOf("a").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  const auto record = ReadRecord(PathOf("a"));
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->body, entry.body);
  EXPECT_EQ(record->header.positions, entry.header.positions);
}

TEST_F(RecordFileTest, ReplacesAnEarlierRecord) {
  const TestEntry first = MixedEntry();
  const TestEntry second = CompactedEntry();
  ASSERT_TRUE(WriteRecord(PathOf("a"), first.header, first.body).ok());
  ASSERT_TRUE(WriteRecord(PathOf("a"), second.header, second.body).ok());
  EXPECT_EQ(FileBytes(PathOf("a")), Encoded(second));
}

TEST_F(RecordFileTest, LeavesNothingWhenTheDiskIsFull) {
  const TestEntry entry = MixedEntry();
  ASSERT_TRUE(WriteRecord(PathOf("a"), CompactedEntry().header, CompactedEntry().body).ok());
  struct rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit limit = before;
  limit.rlim_cur = 10000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  const absl::Status status = WriteRecord(PathOf("a"), entry.header, entry.body);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(StatusReason(status), "DISK_FULL");
  EXPECT_EQ(FileBytes(PathOf("a")), Encoded(CompactedEntry())) << "the earlier record is no longer whole";
  EXPECT_EQ(FileCount(), 1u) << "a temporary file was left";
}

TEST_F(RecordFileTest, NeverWritesWhatAReaderWouldRefuse) {
  TestEntry entry = CompactedEntry();
  entry.header.row_counts[0] = 4;
  EXPECT_EQ(StatusReason(WriteRecord(PathOf("a"), entry.header, entry.body)), "BAD_HEADER");
  entry = CompactedEntry();
  entry.header.spec.label = "\xff";
  entry.header.spec.policy = Policy::kExternal;
  EXPECT_EQ(StatusReason(WriteRecord(PathOf("a"), entry.header, entry.body)), "BAD_HEADER");
  entry = CompactedEntry();
  entry.header.positions[0] = {5, 4, 6, 23, 24};
  FillBody(&entry);
  EXPECT_FALSE(WriteRecord(PathOf("a"), entry.header, entry.body).ok());
  EXPECT_EQ(FileCount(), 0u);
}

TEST_F(RecordFileTest, NamesWhatIsWrongWithAPath) {
  const TestEntry entry = CompactedEntry();
  EXPECT_EQ(StatusReason(WriteRecord(PathOf("none/a"), entry.header, entry.body)), "FILE_NOT_FOUND");
  EXPECT_EQ(StatusReason(ReadRecord(PathOf("a")).status()), "FILE_NOT_FOUND");
  EXPECT_EQ(StatusReason(ReadRecord(folder_).status()), "NOT_A_RECORD");
  EXPECT_EQ(StatusReason(SafetensorsFile::Open(PathOf("a")).status()), "FILE_NOT_FOUND");
  EXPECT_EQ(StatusReason(SafetensorsFile::Open(folder_).status()), "NOT_SAFETENSORS");
  ASSERT_EQ(::mkfifo(PathOf("pipe").c_str(), 0600), 0);
  EXPECT_EQ(StatusReason(ReadRecord(PathOf("pipe")).status()), "NOT_A_RECORD");
}

TEST_F(RecordFileTest, IsASafetensorsFile) {
  const TestEntry entry = CompactedEntry();
  ASSERT_TRUE(WriteRecord(PathOf("a"), entry.header, entry.body).ok());
  auto opened = SafetensorsFile::Open(PathOf("a"));
  ASSERT_TRUE(opened.ok()) << opened.status();
  const SafetensorsFile file = *std::move(opened);
  const SafetensorsTensor* keys = file.header().Find("layers.2.k");
  ASSERT_NE(keys, nullptr);
  EXPECT_EQ(keys->shape, (std::vector<int64_t>{5, 2, 4}));
  const TensorSlot* slot = entry.header.FindTensor(2, TensorKind::kKeys, "");
  EXPECT_EQ(file.Bytes(*keys), absl::MakeConstSpan(entry.body).subspan(slot->offset, slot->size_bytes));
}

}  // namespace
}  // namespace chunkkv
