#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "service/store/eviction_policy.h"

namespace chunkkv {
namespace {

constexpr int kAnna = 0;
constexpr int kBert = 0;
constexpr int kCarl = 0;

Bytes16 Id(uint8_t number) {
  Bytes16 id{};
  id[0] = number;
  return id;
}

std::vector<uint8_t> VictimsOf(const EvictionPolicy& policy) {
  std::vector<uint8_t> victims;
  policy.VisitVictims([&](const Bytes16& id) {
    victims.push_back(id[0]);
    return true;
  });
  return victims;
}

using Numbers = std::vector<uint8_t>;

TEST(FairLruPolicyTest, OneOwnersEntriesGoByLastUse) {
  const auto policy = MakeFairLruPolicy();
  for (uint8_t i = 1; i <= 4; ++i) policy->Insert(Id(i), 10, &kAnna);
  policy->Touch(Id(2));
  policy->Erase(Id(3));
  policy->Touch(Id(3));
  EXPECT_EQ(VictimsOf(*policy), (Numbers{1, 4, 2}));
  policy->Insert(Id(1), 10, &kAnna);
  EXPECT_EQ(VictimsOf(*policy), (Numbers{4, 2, 1}));
}

TEST(FairLruPolicyTest, StopsVisitingWhenTold) {
  const auto policy = MakeFairLruPolicy();
  for (uint8_t i = 1; i <= 4; ++i) policy->Insert(Id(i), 10, i < 4 ? &kAnna : &kBert);
  int visits = 0;
  policy->VisitVictims([&](const Bytes16&) { return ++visits < 2; });
  EXPECT_EQ(visits, 2);
}

TEST(FairLruPolicyTest, WhoHasMoreThanAShareGivesFirst) {
  const auto policy = MakeFairLruPolicy();
  policy->Insert(Id(1), 10, &kAnna);
  for (uint8_t i = 2; i <= 6; ++i) policy->Insert(Id(i), 10, &kBert);
  EXPECT_EQ(VictimsOf(*policy), (Numbers{2, 3, 1, 4, 5, 6})) << "Bert has 50 of 60, his share is 30";
}

TEST(FairLruPolicyTest, WhoHasTheMostGivesBeforeTheOthers) {
  const auto policy = MakeFairLruPolicy();
  policy->Insert(Id(1), 10, &kAnna);
  policy->Insert(Id(2), 40, &kBert);
  policy->Insert(Id(3), 35, &kCarl);
  policy->Insert(Id(4), 35, &kCarl);
  EXPECT_EQ(VictimsOf(*policy), (Numbers{3, 1, 2, 4}));
}

TEST(FairLruPolicyTest, AmongEqualsTheLeastRecentlyUsedGoes) {
  const auto policy = MakeFairLruPolicy();
  for (uint8_t i = 1; i <= 4; ++i) policy->Insert(Id(i), 10, i % 2 == 0 ? &kAnna : &kBert);
  policy->Touch(Id(1));
  EXPECT_EQ(VictimsOf(*policy), (Numbers{2, 3, 4, 1}));
}

TEST(FairLruPolicyTest, FollowsSizesThatChange) {
  const auto policy = MakeFairLruPolicy();
  policy->Insert(Id(1), 10, &kAnna);
  policy->Insert(Id(2), 10, &kBert);
  policy->Resize(Id(2), 50);
  EXPECT_EQ(VictimsOf(*policy), (Numbers{2, 1}));
  policy->Resize(Id(2), 1);
  EXPECT_EQ(VictimsOf(*policy), (Numbers{1, 2}));
}

TEST(FairLruPolicyTest, VisitsOneOwnersAlone) {
  const auto policy = MakeFairLruPolicy();
  for (uint8_t i = 1; i <= 4; ++i) policy->Insert(Id(i), 10, i % 2 == 0 ? &kAnna : &kBert);
  policy->Touch(Id(2));
  Numbers victims;
  policy->VisitVictimsOf(&kAnna, [&](const Bytes16& id) {
    victims.push_back(id[0]);
    return true;
  });
  EXPECT_EQ(victims, (Numbers{4, 2}));
  policy->VisitVictimsOf(&kCarl, [&](const Bytes16&) { ADD_FAILURE(); return true; });
}

}  // namespace
}  // namespace chunkkv
