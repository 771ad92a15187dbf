#include "client/cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace chunkkv::cli {
namespace {

constexpr int kBarWidth = 30;
constexpr auto kPatience = std::chrono::seconds(1);
constexpr auto kRedraw = std::chrono::milliseconds(100);

}  // namespace

Progress::Progress(std::string label, int64_t total)
    : label_(std::move(label)), total_(std::max<int64_t>(total, 1)), enabled_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (is_drawn_) std::fputs("\r\x1b[K", stderr);
}

void Progress::Set(int64_t done) {
  if (!enabled_) return;
  const Clock::time_point now = Clock::now();
  if (now - start_ < kPatience || now - drawn_at_ < kRedraw) return;
  drawn_at_ = now;
  is_drawn_ = true;
  const double share = std::clamp(static_cast<double>(done) / static_cast<double>(total_), 0.0, 1.0);
  const int filled = static_cast<int>(share * kBarWidth);
  std::fprintf(stderr, "\r%s [%s%s] %3.0f %%", label_.c_str(), std::string(filled, '#').c_str(),
               std::string(kBarWidth - filled, ' ').c_str(), share * 100);
  std::fflush(stderr);
}

}  // namespace chunkkv::cli
