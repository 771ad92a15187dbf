// The store's parts, each alone.
#include <algorithm>
#include <vector>

#include "service/store/eviction_policy.h"
#include "service/store/header_bytes.h"
#include "service/store/key_hasher.h"
#include "service/store/pin_table.h"
#include "tests/unit/store/store_fixture.h"

namespace chunkkv {
namespace {

Bytes16 Id(uint8_t number) {
  Bytes16 id{};
  id[0] = number;
  return id;
}

TEST(PinTableTest, HoldsARepeatedEntryOnce) {
  const FakeClock clock;
  PinTable pins(100, /*is_shared=*/false);
  const std::vector<Bytes16> repeated(5000, Id(1));
  std::vector<Bytes16> mixed = repeated;
  mixed.push_back(Id(2));
  mixed.push_back(Id(1));
  const Lease lease = pins.Add("tenant", mixed, 1000, clock);
  EXPECT_EQ(pins.held_count(), 2);
  const Lease other = pins.Add("tenant", repeated, 1000, clock);
  EXPECT_EQ(pins.held_count(), 3);
  EXPECT_EQ(pins.Remove("tenant", lease.id), std::vector<Bytes16>{Id(2)});
  EXPECT_TRUE(pins.IsPinned(Id(1)));
  EXPECT_EQ(pins.Remove("tenant", other.id), std::vector<Bytes16>{Id(1)});
  EXPECT_EQ(pins.held_count(), 0);
}

TEST(PinTableTest, NoTenantKeepsTheOthersFromPinning) {
  const FakeClock clock;
  PinTable pins(12, /*is_shared=*/true);
  const auto take_all = [&](const std::string& tenant) {
    std::vector<Lease> taken;
    while (pins.CheckRoom(tenant).ok()) taken.push_back(pins.Add(tenant, {Id(1)}, 1000, clock));
    return taken;
  };
  const std::vector<Lease> of_greedy = take_all("greedy");
  EXPECT_EQ(of_greedy.size(), 6u);
  EXPECT_THAT(pins.CheckRoom("greedy"), IsErrorStatus(absl::StatusCode::kResourceExhausted, "TOO_MANY_PINS"));
  EXPECT_EQ(take_all("second").size(), 4u);
  EXPECT_GE(take_all("third").size(), 1u);
  // What ends in whatever way makes room again.
  pins.Remove("greedy", of_greedy[0].id);
  EXPECT_EQ(pins.lease_count(), 11);
  pins.ForgetEntry(Id(1));
  EXPECT_EQ(pins.lease_count(), 0);
  EXPECT_EQ(take_all("second").size(), 6u);
  EXPECT_EQ(pins.EndExpired(clock.MonotonicMs() + 1000), std::vector<Bytes16>{Id(1)});
  EXPECT_EQ(take_all("third").size(), 6u);
}

TEST(KeyHasherTest, NamesDependOnTheSecretAndOnEverythingBefore) {
  const KeyHasher ours, theirs;
  const std::vector<Bytes32> digests = DigestPrompt(CountingTokens(256), {}).digests;
  std::vector<Bytes16> names, other_names;
  ours.ExtendNames(digests, 2, &names);
  ours.ExtendNames(digests, 100, &names);
  ASSERT_EQ(names.size(), 4u);
  theirs.ExtendNames(digests, 4, &other_names);
  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_NE(names[i], other_names[i]);
    EXPECT_EQ(names[i], ours.NextName(i == 0 ? Bytes16{} : names[i - 1], digests[i]));
    // No part of a digest is shown.
    EXPECT_EQ(std::search(digests[i].begin(), digests[i].end(), names[i].begin(), names[i].begin() + 4),
              digests[i].end());
  }
  EXPECT_NE(ours.NextName(names[0], digests[1]), ours.NextName(names[1], digests[1]));
}

TEST(HeaderBytesTest, GrowsWithKeptPositions) {
  EntryHeader header = MakeEntry(Compacted(Prompt(0, 1000), 0.5)).header;
  const int64_t with_positions = HeaderBytes(header);
  header.positions = {};
  EXPECT_GE(with_positions - HeaderBytes(header), 500 * 4);
}

}  // namespace
}  // namespace chunkkv
