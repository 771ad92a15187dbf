// The invariant of a store that nobody is using.
#ifndef CHUNKKV_TESTS_SUPPORT_STORE_AT_REST_H_
#define CHUNKKV_TESTS_SUPPORT_STORE_AT_REST_H_

#include <gtest/gtest.h>

#include "service/store/entry_store.h"

namespace chunkkv {

// No pins, no puts, no waiters, and nothing charged but entries that are stored: fails the test otherwise.
inline void ExpectAtRest(EntryStore& store) {
  store.ExpireNow();
  const StoreStats stats = store.Stats();
  EXPECT_EQ(stats.pins, 0);
  EXPECT_EQ(stats.puts_in_progress, 0);
  EXPECT_EQ(stats.waiters, 0);
  EXPECT_EQ(stats.used_bytes, stats.entry_bytes);
  EXPECT_LE(stats.used_bytes, stats.budget_bytes);
}

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_SUPPORT_STORE_AT_REST_H_
