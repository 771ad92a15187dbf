// Random places in lent memory, through the real stack: whatever a client names, nothing outside of what it registered
// is written, and the server goes on; also where the memory is truncated and punched meanwhile.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/get_client.h"
#include "tests/support/local_client.h"
#include "tests/support/put_client.h"
#include "tests/support/test_server.h"

namespace chunkkv {
namespace {

constexpr int64_t kFileBytes = int64_t{1} << 20;
constexpr int64_t kRegisteredBytes = 70'000;  // not whole pages
constexpr std::byte kOutside{0x5a};

class RegionFuzzTest : public testing::TestWithParam<int> {
 protected:
  RegionFuzzTest() : random_(static_cast<uint64_t>(GetParam())), client_(server_.server_options().local_socket.path) {
    std::fill(file_.bytes().begin() + kRegisteredBytes, file_.bytes().end(), kOutside);
    region_id_ = RegisterFile(client_, server_.stub(), file_, kRegisteredBytes);
    EXPECT_EQ(region_id_.size(), 16u);
    put_.spec = CompactionSpec();
    put_.score_source = ScoreSource::kNone;
    EXPECT_TRUE(PutAll(server_.channel(), put_, MakePrompt(put_)).end.ok());
  }

  int64_t Pick(int64_t most) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(most)); }

  // Mostly near what is right, sometimes anything at all.
  int64_t Near(int64_t right) {
    switch (Pick(8)) {
      case 0:
        return right + Pick(5) - 2;
      case 1:
        return Pick(2 * kRegisteredBytes);
      case 2:
        return static_cast<int64_t>(random_());
      case 3:
        return std::numeric_limits<int64_t>::max() - Pick(3);
      case 4:
        return -Pick(100);
      default:
        return right;
    }
  }

  v1::RegionSlice AnySlice(int64_t row_count, int64_t head_count, int64_t head_bytes) {
    v1::RegionSlice slice;
    slice.set_region_id(region_id_);
    const int64_t size = row_count * head_count * head_bytes;
    if (Pick(3) == 0) {
      slice.set_offset_bytes(Near(Pick(kRegisteredBytes)));
      slice.set_length_bytes(Near(size));
      return slice;
    }
    v1::RegionSlice::PagedSlice* pages = slice.mutable_pages();
    const int64_t block = 1 + Pick(16);
    pages->set_block_size(static_cast<int32_t>(Near(block)));
    pages->set_row_bytes(Near(head_bytes));
    pages->set_head_stride_bytes(Near(Pick(2) == 0 ? head_bytes : block * head_bytes));
    pages->set_slot_stride_bytes(Near(Pick(2) == 0 ? head_bytes * head_count : head_bytes));
    pages->set_block_stride_bytes(Near(block * head_count * head_bytes));
    pages->set_first_slot(static_cast<int32_t>(Near(Pick(block))));
    pages->set_offset_bytes(Near(0));
    const int64_t blocks = row_count / block + 2;
    for (int64_t id = 0; id < blocks; ++id) pages->add_block_ids(static_cast<int32_t>(Near(blocks - 1 - id)));
    return slice;
  }

  void ExpectOutsideUntouched() const {
    EXPECT_TRUE(std::all_of(file_.bytes().begin() + kRegisteredBytes, file_.bytes().end(),
                            [](std::byte byte) { return byte == kOutside; }));
  }

  bool GetIntoAnything() {
    v1::GetCacheRequest request = GetRequestOf(put_);
    request.set_transfer_id("get " + std::to_string(++last_transfer_));
    if (Pick(5) == 0) {
      *request.mutable_target()->mutable_whole() = AnySlice(96, 12, 32);
    } else {
      for (int32_t layer = 0; layer < 3; ++layer) {
        for (const TensorSpec& spec : LayerTensors(put_.layout, layer)) {
          v1::GetCacheRequest::LayerTarget* target = request.mutable_target()->add_layers();
          target->set_layer(layer);
          target->set_tensor(static_cast<v1::TensorKind>(spec.kind));
          *target->mutable_slice() = AnySlice(96, spec.head_count, spec.row_bytes / spec.head_count);
          if (Pick(2) == 0) {
            target->mutable_slice()->clear_pages();
            target->mutable_slice()->set_offset_bytes(Pick(kRegisteredBytes - 96 * spec.row_bytes));
            target->mutable_slice()->set_length_bytes(96 * spec.row_bytes);
          }
        }
      }
    }
    return GetAll(server_.channel(), request).end.ok();
  }

  bool PutFromAnything() {
    PutRequest request = SmallRequest();
    request.spec.policy = Pick(2) == 0 ? Policy::kStreamingLlm : Policy::kFull;
    request.spec.keep_ratio.reset();
    request.spec.max_tokens.reset();
    if (request.spec.policy == Policy::kStreamingLlm) request.spec.max_tokens = 40;
    request.score_source = ScoreSource::kNone;
    request.key.fill(static_cast<uint8_t>(1 + Pick(250)));
    // All of them before any is sent: how far a put comes must not move what is drawn after it.
    std::vector<v1::PutCacheRequest> parts;
    for (int32_t layer = 0; layer < 3; ++layer) {
      for (size_t tensor = 0; tensor < 2; ++tensor) {
        const TensorSpec spec = LayerTensors(request.layout, layer)[tensor];
        v1::PutCacheRequest& part = parts.emplace_back(InlinePart(RowsPart(request, layer, tensor, 0, 96), {}));
        *part.mutable_part()->mutable_payload()->mutable_region() =
            AnySlice(96, spec.head_count, spec.row_bytes / spec.head_count);
      }
    }
    v1::Begin begin = BeginOf(request);
    begin.set_transfer_id("put " + std::to_string(++last_transfer_));
    PutClient client(server_.channel());
    const auto begun = client.Begin(begin);
    if (!begun || begun->has_already_stored()) return false;
    for (const v1::PutCacheRequest& part : parts) {
      if (!client.Send(part)) break;
    }
    client.SendCommit();
    return client.Finish().ok();
  }

  std::mt19937_64 random_;
  TestServer server_;
  LocalClient client_;
  mutable SharedFile file_{kFileBytes};
  std::string region_id_;
  PutRequest put_ = SmallRequest();
  int64_t last_transfer_ = 0;
};

TEST_P(RegionFuzzTest, NothingOutsideIsWrittenAndTheServerGoesOn) {
  int succeeded = 0;
  for (int round = 0; round < 150; ++round) {
    if (GetIntoAnything()) ++succeeded;
    ExpectOutsideUntouched();
    PutFromAnything();
  }
  ExpectOutsideUntouched();
  EXPECT_TRUE(server_.store().Stats().entries > 0);
  server_.ExpectAtRest();
  EXPECT_GT(succeeded, 0);
}

TEST_P(RegionFuzzTest, AlsoWhileItsOwnerTakesTheMemoryAway) {
  std::atomic<bool> stop{false};
  std::thread owner([&] {
    std::mt19937 random(1);
    while (!stop) {
      file_.Truncate(static_cast<int64_t>(random() % kRegisteredBytes));
      file_.Truncate(kFileBytes);
      EXPECT_EQ(fallocate(file_.descriptor(), 0, 0, kFileBytes), 0);
      file_.PunchHole(static_cast<int64_t>(random() % 16) * 4096, 8192);
      EXPECT_EQ(fallocate(file_.descriptor(), 0, 0, kFileBytes), 0);
    }
  });
  for (int round = 0; round < 100; ++round) {
    GetIntoAnything();
    PutFromAnything();
  }
  stop = true;
  owner.join();
  server_.ExpectAtRest();
  EXPECT_TRUE(PutAll(server_.channel(), SmallRequest(), MakePrompt(SmallRequest())).end.ok());
}

INSTANTIATE_TEST_SUITE_P(Seeds, RegionFuzzTest, testing::Values(1, 2, 3));

}  // namespace
}  // namespace chunkkv
