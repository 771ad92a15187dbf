// GoogleTest's main, where every test skips itself on a machine without a GPU that the kernels run on.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "chunkkv/kernels/cuda.h"

namespace chunkkv::testing {
namespace {

class SkipWithoutGpu final : public ::testing::EmptyTestEventListener {
 public:
  void OnTestProgramStart(const ::testing::UnitTest&) override {
    if (const auto memory = MakeCudaMemory(0); !memory.ok()) reason_ = std::string(memory.status().message());
  }
  void OnTestStart(const ::testing::TestInfo&) override {
    if (!reason_.empty()) GTEST_SKIP() << reason_;
  }

 private:
  std::string reason_;
};

}  // namespace
}  // namespace chunkkv::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  ::testing::UnitTest::GetInstance()->listeners().Append(new chunkkv::testing::SkipWithoutGpu);
  return RUN_ALL_TESTS();
}
