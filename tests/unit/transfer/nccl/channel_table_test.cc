#include "service/transfer/nccl/channel_table.h"

#include <gtest/gtest.h>

#include "service/transfer/nccl/channel_status.h"
#include "tests/unit/transfer/nccl/channel_rig.h"

namespace chunkkv {
namespace {

class ChannelTableTest : public ::testing::Test {
 protected:
  ~ChannelTableTest() override { device_->Finish(); }

  ChannelRequest Request(const std::string& tenant = "a", ChannelOwner owner = 1) {
    ChannelRequest request;
    request.tenant = tenant;
    request.owner = owner;
    request.nccl_version = 22707;
    return request;
  }
  std::string Reason(const ChannelRequest& request) { return StatusReason(table_.Open(request).status()); }
  std::string FindReason(const std::string& tenant, const Bytes16& id) {
    return StatusReason(table_.Find(tenant, id).status());
  }
  void Run() {
    for (int i = 0; i < 2; ++i) device_->RunOnce();
  }

  ChannelRig rig_;
  std::shared_ptr<ChannelDevice> device_ =
      std::make_shared<ChannelDevice>(rig_.library, rig_.clock, rig_.timeouts, rig_.MakeStreams());
  ChannelLimits limits_{.max_channels = 4, .max_channels_of_tenant = 3, .max_never_joined_of_tenant = 5};
  ChannelTable table_{rig_.library, {{0, device_}}, limits_};
};

TEST_F(ChannelTableTest, OpensWithAnIdThatOnlyItsTenantFinds) {
  const auto opened = table_.Open(Request());
  ASSERT_TRUE(opened.ok());
  EXPECT_NE(opened->id, Bytes16());
  EXPECT_NE(opened->unique_id, NcclUniqueId());
  rig_.peer.Join(opened->unique_id);
  Run();
  const auto found = table_.Find("a", opened->id);
  ASSERT_TRUE(found.ok());
  EXPECT_TRUE((*found)->has_opened());
  EXPECT_EQ(table_.Find("b", opened->id).status(), table_.Find("a", Bytes16()).status());
  EXPECT_EQ(FindReason("b", opened->id), "CHANNEL_NOT_FOUND");
  EXPECT_EQ(StatusReason(table_.Close("b", opened->id)), "CHANNEL_NOT_FOUND");
  EXPECT_TRUE(table_.Find("a", opened->id).ok());
}

TEST_F(ChannelTableTest, RefusesWhatIsWrong) {
  ChannelRequest request = Request();
  for (const size_t size : {1, 127, 128, 129}) {
    const std::string unique_id(size, 'x');
    request.unique_id = unique_id;
    EXPECT_EQ(Reason(request), "BAD_UNIQUE_ID") << size;
    EXPECT_EQ(table_.Open(request).status().code(), absl::StatusCode::kInvalidArgument);
  }
  for (const int version : {0, 22706, 22708, -1}) {
    request = Request();
    request.nccl_version = version;
    EXPECT_EQ(Reason(request), "NCCL_VERSION");
    EXPECT_EQ(table_.Open(request).status().code(), absl::StatusCode::kFailedPrecondition);
  }
  for (const int device : {-1, 1}) {
    request = Request();
    request.device = device;
    EXPECT_EQ(Reason(request), "BAD_DEVICE");
  }
  rig_.library.FailNext(FakeNccl::Call::kMakeUniqueId,
                        ErrorStatus(absl::StatusCode::kInternal, "NCCL_ERROR", "no network"));
  EXPECT_EQ(Reason(Request()), "NCCL_ERROR");
  EXPECT_EQ(table_.size(), 0);
  EXPECT_TRUE(rig_.library.calls().empty());
}

TEST_F(ChannelTableTest, LimitsChannelsOfATenantAndInAll) {
  std::vector<Bytes16> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(table_.Open(Request("a")).value().id);
  EXPECT_EQ(Reason(Request("a")), "TOO_MANY_CHANNELS");
  EXPECT_EQ(table_.Open(Request("a")).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Reason(Request("b")), "");
  EXPECT_EQ(Reason(Request("c")), "TOO_MANY_CHANNELS");
  Run();
  // One that is closing still counts.
  EXPECT_TRUE(table_.Close("a", ids[0]).ok());
  EXPECT_EQ(Reason(Request("c")), "TOO_MANY_CHANNELS");
  Run();
  EXPECT_EQ(table_.size(), 3);
  EXPECT_EQ(Reason(Request("c")), "");
  EXPECT_EQ(table_.size(), 4);
}

TEST_F(ChannelTableTest, ClosesOnce) {
  const OpenedChannel opened = table_.Open(Request()).value();
  rig_.peer.Join(opened.unique_id);
  Run();
  const ChannelPtr channel = table_.Find("a", opened.id).value();
  EXPECT_TRUE(table_.Close("a", opened.id).ok());
  EXPECT_EQ(StatusReason(table_.Close("a", opened.id)), "CHANNEL_NOT_FOUND");
  EXPECT_EQ(FindReason("a", opened.id), "CHANNEL_NOT_FOUND");
  Run();
  EXPECT_TRUE(channel->has_ended());
  EXPECT_EQ(rig_.library.Count("destroy"), 1);
}

TEST_F(ChannelTableTest, EndsTheChannelsOfAnOwnerThatIsGone) {
  const OpenedChannel of_first = table_.Open(Request("a", 1)).value();
  const OpenedChannel of_second = table_.Open(Request("a", 2)).value();
  const OpenedChannel of_nobody = table_.Open(Request("a", kNoOwner)).value();
  rig_.peer.Join(of_first.unique_id);
  Run();
  Asked& asked = rig_.Ask(Bytes(8));
  const ChannelPtr channel = table_.Find("a", of_first.id).value();
  channel->Start(rig_.MakeTransfer(ChannelTransfer::Direction::kReceive, asked));
  Run();
  table_.Forget(1);
  table_.Forget(77);
  table_.Forget(kNoOwner);
  Run();
  EXPECT_EQ(asked.outcome(), "PEER_LOST");
  EXPECT_TRUE(channel->has_ended());
  EXPECT_EQ(FindReason("a", of_first.id), "CHANNEL_NOT_FOUND");
  EXPECT_TRUE(table_.Find("a", of_second.id).ok());
  EXPECT_TRUE(table_.Find("a", of_nobody.id).ok());
  EXPECT_EQ(table_.size(), 2);
}

TEST_F(ChannelTableTest, SaysWhyAChannelEnded) {
  const OpenedChannel lonely = table_.Open(Request()).value();
  Run();
  rig_.clock.AdvanceMs(rig_.timeouts.open_ms);
  Run();
  EXPECT_EQ(FindReason("a", lonely.id), "CHANNEL_TIMEOUT");
  EXPECT_EQ(FindReason("b", lonely.id), "CHANNEL_NOT_FOUND");
  EXPECT_EQ(table_.size(), 0);
  // Another one takes its place.
  const OpenedChannel again = table_.Open(Request()).value();
  EXPECT_NE(again.id, lonely.id);
  EXPECT_EQ(FindReason("a", lonely.id), "CHANNEL_NOT_FOUND");
  rig_.peer.Join(again.unique_id);
  Run();
  EXPECT_TRUE(table_.Find("a", again.id).ok());
}

TEST_F(ChannelTableTest, RefusesATenantWhosePeersNeverCome) {
  for (int i = 0; i < 10; ++i) {
    const auto opened = table_.Open(Request("a"));
    ASSERT_TRUE(opened.ok()) << i;
    if (i < 5) rig_.peer.Join(opened->unique_id);
    Run();
    if (i < 5) rig_.peer.Die();
    EXPECT_TRUE(table_.Close("a", opened->id).ok());
    Run();
  }
  EXPECT_EQ(Reason(Request("a")), "CHANNELS_NEVER_JOINED");
  EXPECT_EQ(Reason(Request("b")), "");
}

}  // namespace
}  // namespace chunkkv
