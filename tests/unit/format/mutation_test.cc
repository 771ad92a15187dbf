// Thousands of small changes to good files, always the same ones: whatever comes, a status comes back.
#include <cstring>
#include <random>

#include "gtest/gtest.h"
#include "service/format/record.h"
#include "service/format/safetensors.h"
#include "tests/unit/format/seal.h"
#include "tests/unit/format/test_entry.h"

namespace chunkkv {
namespace {

constexpr int kMutations = 1500;

class Mutator {
 public:
  explicit Mutator(uint32_t seed) : random_(seed) {}

  std::string Mutate(std::string bytes) {
    for (size_t count = 1 + Below(3); count > 0 && !bytes.empty(); --count) MutateOnce(&bytes);
    return bytes;
  }

  size_t Below(size_t limit) { return random_() % limit; }

 private:
  void MutateOnce(std::string* bytes) {
    static constexpr const char* kTokens[] = {
        "9223372036854775807", "-1",   "0",  "1e308", "null", "[", "]", "{", "}", "\"", "\\", "\\\"", ",", ":", "65535",
        "2147483648",          "\xff", "[]", "{}",    "5"};
    const size_t at = Below(bytes->size());
    const size_t length = 1 + Below(std::min<size_t>(bytes->size() - at, 24));
    switch (Below(6)) {
      case 0:
        (*bytes)[at] = static_cast<char>((*bytes)[at] ^ (1 << Below(8)));
        break;
      case 1:
        bytes->erase(at, length);
        break;
      case 2:
        bytes->insert(at, bytes->substr(Below(bytes->size()), length));
        break;
      case 3:
        bytes->insert(at, kTokens[Below(std::size(kTokens))]);
        break;
      case 4:
        bytes->replace(at, length, kTokens[Below(std::size(kTokens))]);
        break;
      default:
        bytes->resize(at);
    }
  }

  std::mt19937 random_;
};

// A digit of the JSON replaced, so that the text stays JSON and the checks behind the parser are reached.
std::string WithOtherDigit(std::string json, Mutator* mutator) {
  size_t at = json.find_first_of("0123456789", mutator->Below(json.size()));
  if (at == json.npos) at = json.find_first_of("0123456789");
  json[at] = static_cast<char>('0' + mutator->Below(10));
  return json;
}

std::string JsonOf(const std::string& file) { return file.substr(8, file.size() - 8 - BodyOf(file).size()); }

void DecodeWhole(const std::string& file) {
  auto head = DecodeRecordHead(AsBytes(file), static_cast<int64_t>(file.size()));
  if (!head.ok()) return;
  const auto body = AsBytes(file).subspan(head->body_offset);
  if (!LoadPositions(body, &*head).ok()) return;
  // What is accepted holds together: it can be written again, and its tensors lie inside the body.
  EXPECT_FALSE(EncodeRecordHead(head->header).empty());
  for (const TensorSlot& slot : head->header.tensors) {
    EXPECT_LE(slot.offset + slot.size_bytes, static_cast<int64_t>(body.size()));
  }
  (void)VerifyBody(head->header, body).ok();
}

TEST(MutationTest, RecordsGiveAStatusWhateverIsChanged) {
  const std::string files[] = {Encoded(CompactedEntry()), Encoded(BareFullEntry()), Encoded(LatentEntry())};
  Mutator mutator(1);
  for (int i = 0; i < kMutations; ++i) DecodeWhole(mutator.Mutate(files[i % std::size(files)]));
}

TEST(MutationTest, SealedRecordsGiveAStatusWhateverIsChanged) {
  const std::string files[] = {Encoded(CompactedEntry()), Encoded(BareFullEntry()), Encoded(MixedEntry())};
  Mutator mutator(2);
  int accepted = 0;
  for (int i = 0; i < kMutations; ++i) {
    const std::string& file = files[i % std::size(files)];
    const std::string json = JsonOf(file);
    const std::string changed = i % 2 == 0 ? WithOtherDigit(json, &mutator) : mutator.Mutate(json);
    const std::string resealed = Resealed(file, json, changed);
    const auto head = DecodeRecordHead(AsBytes(resealed), static_cast<int64_t>(resealed.size()));
    if (head.ok()) ++accepted;
    DecodeWhole(resealed);
  }
  // Some digits are free to change (times, ids); were all refused alike, nothing behind the checksum would be tried.
  EXPECT_GT(accepted, 0);
  EXPECT_LT(accepted, kMutations / 2);
}

TEST(MutationTest, SafetensorsGiveAStatusWhateverIsChanged) {
  const std::string json = JsonOf(Encoded(MixedEntry()));
  const std::string body = BodyOf(Encoded(MixedEntry()));
  Mutator mutator(3);
  for (int i = 0; i < kMutations; ++i) {
    std::string changed = i % 2 == 0 ? WithOtherDigit(json, &mutator) : mutator.Mutate(json);
    const uint64_t length = changed.size();
    std::string bytes(reinterpret_cast<const char*>(&length), sizeof length);
    bytes.append(changed).append(body);
    const auto header = ParseSafetensors(AsBytes(bytes), static_cast<int64_t>(bytes.size()));
    if (!header.ok()) continue;
    int64_t next = 0;
    for (const SafetensorsTensor& tensor : header->tensors) {
      EXPECT_EQ(tensor.offset, next);
      next += tensor.size_bytes;
    }
    EXPECT_EQ(next, header->body_bytes);
  }
}

TEST(MutationTest, CanonicalTextsGiveAStatusWhateverIsChanged) {
  const std::string text = CanonicalText(TestModel());
  Mutator mutator(4);
  for (int i = 0; i < kMutations; ++i) {
    const std::string changed = mutator.Mutate(text);
    const auto model = ModelIdentityFromCanonicalText(changed);
    if (model.ok()) {
      EXPECT_EQ(CanonicalText(*model), changed);
    }
  }
}

}  // namespace
}  // namespace chunkkv
