#include <gtest/gtest.h>

#include <cstdint>

#include "kernels/simt/emulation/grid.h"
#include "kernels/simt/emulation/traffic.h"
#include "kernels/simt/simt.h"

namespace chunkkv::testing {
namespace {

alignas(128) uint32_t memory[4096];

TEST(EmulationTrafficTest, SectorsThatLanesShareCountOncePerInstruction) {
  simt::emulation::Traffic traffic;
  simt::emulation::RunGrid(
      {1, 64, 0}, 1, [] { simt::Store(memory + 1024 + simt::ThreadIndex(), simt::Load(memory + simt::ThreadIndex())); },
      &traffic);
  EXPECT_EQ(traffic.Loads().requested, 8);  // 64 words of 4 bytes
  EXPECT_EQ(traffic.Loads().distinct, 8);
  EXPECT_EQ(traffic.Loads().requests, 2);  // warps
  EXPECT_EQ(traffic.Stores().requested, 8);
}

TEST(EmulationTrafficTest, EveryLanesSectorCountsWhereTheyAreApart) {
  simt::emulation::Traffic traffic;
  simt::emulation::RunGrid(
      {1, 32, 0}, 1, [] { simt::Load(memory + simt::ThreadIndex() * 8); }, &traffic);
  EXPECT_EQ(traffic.Loads().requested, 32);
  EXPECT_EQ(traffic.Loads().requests, 1);
}

TEST(EmulationTrafficTest, SectorsReadAgainAreRequestedAgain) {
  simt::emulation::Traffic traffic;
  simt::emulation::RunGrid(
      {3, 32, 0}, 1,
      [] {
        for (int i = 0; i < 5; ++i) simt::Load(memory + simt::ThreadIndex());
      },
      &traffic);
  EXPECT_EQ(traffic.Loads().requested, 3 * 5 * 4);
  EXPECT_EQ(traffic.Loads().distinct, 4);
  EXPECT_EQ(traffic.Loads().requests, 3 * 5);
}

TEST(EmulationTrafficTest, AccessesAtDifferentPlacesAreDifferentInstructions) {
  simt::emulation::Traffic traffic;
  const auto kernel = [] {
    if (simt::Lane() < 16) simt::Load(memory + simt::Lane());
    simt::Load(memory + 100);  // by all lanes at once, whether or not they were there before
  };
  simt::emulation::RunGrid({1, 32, 0}, 1, kernel, &traffic);
  EXPECT_EQ(traffic.Loads().requested, 2 + 1);
  EXPECT_EQ(traffic.Loads().requests, 2);
}

TEST(EmulationTrafficTest, EveryGridRequestsAnew) {
  simt::emulation::Traffic traffic;
  for (int launch = 0; launch < 2; ++launch) {
    simt::emulation::RunGrid(
        {1, 32, 0}, 1, [] { simt::Load(memory + simt::Lane()); }, &traffic);
  }
  EXPECT_EQ(traffic.Loads().requested, 8);
  EXPECT_EQ(traffic.Loads().distinct, 8);
  EXPECT_EQ(traffic.Loads().requests, 2);
}

TEST(EmulationTrafficTest, CountsOneTensorsSectorsApart) {
  simt::emulation::Traffic traffic;
  simt::emulation::RunGrid(
      {1, 32, 0}, 1, [] { simt::Load(memory + simt::Lane() * 2); }, &traffic);
  EXPECT_EQ(traffic.Loads().requested, 8);
  EXPECT_EQ(traffic.Loads({memory, 128}).requested, 4);
  EXPECT_EQ(traffic.Loads({memory + 32, 33}).requested, 2);
  EXPECT_EQ(traffic.Loads({memory + 64, 128}).requested, 0);
  EXPECT_EQ(traffic.Loads({memory + 64, 128}).requests, 0);
}

TEST(EmulationTrafficTest, CopiesThatAreValidAreLoads) {
  simt::emulation::Traffic traffic;
  simt::emulation::RunGrid(
      {1, 32, 32 * 16}, 1,
      [] {
        simt::CopyAsync(simt::SharedMemory() + simt::ThreadIndex() * 16, memory + simt::ThreadIndex() * 4,
                        simt::ThreadIndex() < 10);
        simt::CommitCopies();
        simt::WaitForCopies<0>();
      },
      &traffic);
  EXPECT_EQ(traffic.Loads().requested, 5);
}

}  // namespace
}  // namespace chunkkv::testing
