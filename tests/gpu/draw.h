// What random tests draw from: afresh each run, so that no request is favoured.
#ifndef CHUNKKV_TESTS_GPU_DRAW_H_
#define CHUNKKV_TESTS_GPU_DRAW_H_

#include <cstdint>
#include <random>

namespace chunkkv::testing {

// GPU_TEST_SEED where the environment has it, else a new one for each process; printed when first asked for.
uint32_t RunSeed();

class Draw {
 public:
  // `salt`: what tells one test's numbers from another's of the same run.
  explicit Draw(uint32_t salt) : random_(RunSeed() + salt) {}

  int32_t Between(int32_t least, int32_t most) { return std::uniform_int_distribution<int32_t>(least, most)(random_); }
  bool Coin() { return Between(0, 1) == 1; }
  template <typename T, size_t kCount>
  T OneOf(const T (&values)[kCount]) {
    return values[Between(0, kCount - 1)];
  }
  std::mt19937& random() { return random_; }

 private:
  std::mt19937 random_;
};

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_GPU_DRAW_H_
