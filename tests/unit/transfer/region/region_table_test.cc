#include "service/transfer/region/region_table.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <utility>
#include <vector>

#include "chunkkv/kernels/status.h"
#include "tests/support/local_client.h"

namespace chunkkv {
namespace {

constexpr int64_t kBytes = 8192;

// As large as there are descriptors.
class Memory final : public PeerMemory {
 public:
  explicit Memory(int64_t size_bytes) : size_bytes_(size_bytes) {}
  bool is_closed() const { return is_closed_; }
  int64_t size_bytes() const override { return size_bytes_; }
  bool is_writable() const override { return true; }
  void Close() override { is_closed_ = true; }
  absl::Status Read(int64_t, absl::Span<std::byte>, const Cancelled&) const override { return absl::OkStatus(); }
  absl::Status Write(absl::Span<const std::byte>, int64_t, const Cancelled&) const override { return absl::OkStatus(); }
  absl::Status ReadRows(const PeerRows&, absl::Span<const RowRun>, const RowTarget&, const Cancelled&) const override {
    return absl::OkStatus();
  }
  absl::Status WriteRows(absl::Span<const std::byte>, const PeerRows&, int64_t, const Cancelled&) const override {
    return absl::OkStatus();
  }

 private:
  const int64_t size_bytes_;
  bool is_closed_ = false;
};

class RegionTableTest : public testing::Test {
 protected:
  Bytes32 Offer(PeerId peer) {
    const auto token = table_.Offer(peer, FileDescriptor(dup(file_.descriptor())));
    EXPECT_TRUE(token.ok()) << token.status();
    return token.value_or(Bytes32{});
  }
  Bytes16 Register(PeerId peer, const std::string& tenant) {
    const auto id = Register(std::vector{Offer(peer)}, tenant);
    EXPECT_TRUE(id.ok()) << id.status();
    return id.value_or(Bytes16{});
  }
  absl::StatusOr<Bytes16> Register(std::vector<Bytes32> tokens, const std::string& tenant) {
    NewRegion region;
    region.tenant = tenant;
    region.tokens = std::move(tokens);
    return table_.Register(region, [](std::vector<FileDescriptor> descriptors) {
      return std::make_shared<Memory>(static_cast<int64_t>(descriptors.size()));
    });
  }

  SharedFile file_{kBytes};
  RegionTable table_{{.max_regions = 4, .max_regions_of_tenant = 2, .max_offers_of_peer = 2}};
};

TEST_F(RegionTableTest, ARegionIsItsTenantsAlone) {
  const Bytes16 id = Register(1, "a");
  EXPECT_TRUE(table_.Find("a", id).ok());
  EXPECT_EQ(StatusReason(table_.Find("b", id).status()), "REGION_NOT_FOUND");
  EXPECT_EQ(StatusReason(table_.Unregister("b", id, [] {})), "REGION_NOT_FOUND");
  EXPECT_EQ(table_.List("a").size(), 1u);
  EXPECT_TRUE(table_.List("b").empty());
}

TEST_F(RegionTableTest, UnregisteringWaitsUntilNothingTouchesTheRegion) {
  const Bytes16 id = Register(1, "a");
  const RegionPtr region = table_.Find("a", id).value();
  Gate::Pass pass = region->gate->Enter();
  const auto& memory = static_cast<const Memory&>(*region->memory);
  bool quiet = false;
  EXPECT_TRUE(table_.Unregister("a", id, [&] {
    EXPECT_TRUE(memory.is_closed()) << "its owner may free it now";
    quiet = true;
  }).ok());
  EXPECT_FALSE(quiet || memory.is_closed());
  EXPECT_FALSE(table_.Find("a", id).ok());
  EXPECT_FALSE(region->gate->Enter());
  pass = Gate::Pass();
  EXPECT_TRUE(quiet);
}

TEST_F(RegionTableTest, ForgetsEverythingOfAPeerAndNothingOfOthers) {
  const Bytes32 token = Offer(1);
  const Bytes16 id = Register(1, "a");
  const Bytes16 other = Register(2, "a");
  table_.Forget(1);
  EXPECT_EQ(StatusReason(Register(std::vector{token}, "a").status()), "TOKEN_NOT_FOUND");
  EXPECT_FALSE(table_.Find("a", id).ok());
  EXPECT_TRUE(table_.Find("a", other).ok());
  table_.Forget(2);
  EXPECT_EQ(table_.size(), 0);
}

TEST_F(RegionTableTest, IsBoundedForEachPeerEachTenantAndAll) {
  Offer(1);
  Offer(1);
  EXPECT_EQ(StatusReason(table_.Offer(1, FileDescriptor(dup(file_.descriptor()))).status()), "TOO_MANY_OFFERS");
  Register(2, "a");
  Register(2, "a");
  EXPECT_EQ(StatusReason(Register(std::vector{Offer(3)}, "a").status()), "TOO_MANY_REGIONS");
  Register(2, "b");
  Register(2, "b");
  EXPECT_EQ(StatusReason(Register(std::vector{Offer(3)}, "c").status()), "TOO_MANY_REGIONS");
}

TEST_F(RegionTableTest, ARefusedRegistrationOfAFullTableKeepsItsToken) {
  const Bytes16 first = Register(2, "a");
  Register(2, "a");
  const Bytes32 token = Offer(3);
  EXPECT_FALSE(Register(std::vector{token}, "a").ok());
  EXPECT_TRUE(table_.Unregister("a", first, [] {}).ok());
  EXPECT_TRUE(Register(std::vector{token}, "a").ok());
}

TEST_F(RegionTableTest, ARegionOfSeveralOffersTakesThemInOrder) {
  const auto id = Register({Offer(1), Offer(1)}, "a");
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(table_.Find("a", *id).value()->memory->size_bytes(), 2);
  const Bytes32 of_another = Offer(2);
  EXPECT_EQ(StatusReason(Register({Offer(1), of_another}, "b").status()), "TOKEN_NOT_FOUND") << "another peer's";
  EXPECT_EQ(StatusReason(Register({of_another}, "b").status()), "TOKEN_NOT_FOUND") << "used up";
  const Bytes32 once = Offer(1);
  EXPECT_EQ(StatusReason(Register({once, once}, "b").status()), "TOKEN_NOT_FOUND") << "twice there";
  EXPECT_EQ(table_.size(), 1);
}

}  // namespace
}  // namespace chunkkv
