// A store with a device tier of four entries, on the host's memory, whose moves run when a test says so.
#ifndef CHUNKKV_TESTS_UNIT_STORE_DEVICE_FIXTURE_H_
#define CHUNKKV_TESTS_UNIT_STORE_DEVICE_FIXTURE_H_

#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "tests/support/host_device_memory.h"
#include "tests/unit/store/store_fixture.h"

namespace chunkkv {

inline constexpr int64_t kMiB = int64_t{1} << 20;

// Of a little less than 1 MiB: two fit into a slab of 2 MiB.
inline EntryRecipe BigPrompt(uint32_t number) {
  EntryRecipe recipe = Prompt(number * 10'000, 1000);
  recipe.head_size = 32;
  recipe.fill = static_cast<uint8_t>(number + 1);
  return recipe;
}

class DeviceStoreTest : public StoreTest {
 protected:
  explicit DeviceStoreTest(int64_t host_budget_bytes = 64 * kMiB) : StoreTest(host_budget_bytes) { OpenDevice(); }
  ~DeviceStoreTest() override {
    RunMoves();
    ExpectAtRest(*store_);
    EXPECT_LE(Device().used_bytes, Device().budget_bytes);
    EXPECT_EQ(Device().used_bytes, memory_->slab_bytes());
  }

  // An empty store with a sound device. `post`: where moves run; unset: see RunMoves.
  void OpenDevice(std::function<void(std::function<void()>)> post = nullptr) {
    auto memory = std::make_unique<HostDeviceMemory>();
    store_ = nullptr;
    memory_ = memory.get();
    DeviceTierOptions device;
    device.storage = *DeviceStorage::Open(std::move(memory), 4 * kMiB, 2 * kMiB);
    device.post = std::move(post);
    if (!device.post) device.post = [this](std::function<void()> task) { tasks_.push_back(std::move(task)); };
    device.lost = [this](const absl::Status& status) { losses_.push_back(status); };
    store_ = std::make_unique<EntryStore>(options_, clock_, std::move(device));
  }

  // Until no copy to the device is wanted any more.
  void RunMoves() {
    while (!tasks_.empty()) {
      const auto task = std::move(tasks_.front());
      tasks_.pop_front();
      task();
    }
  }

  // Puts, and lets the moves come to rest.
  Selector Store(const EntryRecipe& recipe) {
    const Selector selector = PutAndForget(recipe);
    RunMoves();
    return selector;
  }
  // Reads, and compares every byte with what was put.
  void ExpectServed(const EntryRecipe& recipe) {
    const MadeEntry made = MakeEntry(recipe);
    const auto entry = store_->Get(PromptNameOf(made.identity), kAcceptExact, std::nullopt);
    ASSERT_TRUE(entry.ok()) << entry.status();
    EXPECT_EQ((*entry)->body(), absl::MakeConstSpan(made.body));
  }
  absl::Status Read(const EntryRecipe& recipe) {
    return store_->Get(PromptNameOf(MakeEntry(recipe).identity), kAcceptExact, std::nullopt).status();
  }
  // Evicts from host memory all but the headers of what the device has.
  void FillHostMemory() {
    const absl::StatusOr<BudgetShare> share = store_->Reserve(store_->Stats().budget_bytes - kHeaderBytes);
    EXPECT_TRUE(share.ok()) << share.status();
  }
  Tier TierOf(const Selector& selector) { return store_->Describe(selector)->tier; }
  bool IsInHost(const Selector& selector) { return !store_->Describe(selector)->entry->body().empty(); }
  DeviceTierStats Device() { return *store_->Stats().device; }

  static constexpr int64_t kHeaderBytes = 64 << 10;  // of all entries on the device, at most

  HostDeviceMemory* memory_ = nullptr;
  std::deque<std::function<void()>> tasks_;
  std::vector<absl::Status> losses_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_UNIT_STORE_DEVICE_FIXTURE_H_
