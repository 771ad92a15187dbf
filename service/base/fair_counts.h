// How many of a limited number of things each owner has.
#ifndef CHUNKKV_SERVICE_BASE_FAIR_COUNTS_H_
#define CHUNKKV_SERVICE_BASE_FAIR_COUNTS_H_

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>

namespace chunkkv {

// Not thread-safe.
class FairCounts {
 public:
  // `is_shared`: between owners, of whom none may keep the others out. Once half of `limit` are taken, an owner with its
  // part, were one more owner to come, gets no other.
  FairCounts(int64_t limit, bool is_shared) : limit_(limit), is_shared_(is_shared) {}

  int64_t limit() const { return limit_; }
  int64_t total() const { return total_; }
  int64_t Of(const std::string& owner) const {
    const auto found = counts_.find(owner);
    return found == counts_.end() ? 0 : found->second;
  }
  // The most that the owner may have now, as things stand with the others.
  int64_t LimitOf(const std::string& owner) const {
    if (!is_shared_ || total_ < limit_ / 2) return limit_;
    const auto with_a_newcomer = static_cast<int64_t>(counts_.size()) + (counts_.contains(owner) ? 1 : 2);
    return std::max<int64_t>(1, limit_ / with_a_newcomer);
  }

  void Add(const std::string& owner) {
    ++total_;
    ++counts_[owner];
  }
  // It must have one.
  void Remove(const std::string& owner) {
    --total_;
    const auto found = counts_.find(owner);
    if (--found->second == 0) counts_.erase(found);
  }

 private:
  const int64_t limit_;
  const bool is_shared_;
  int64_t total_ = 0;
  std::map<std::string, int64_t> counts_;  // of those that have any
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_BASE_FAIR_COUNTS_H_
