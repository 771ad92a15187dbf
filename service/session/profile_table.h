// The measured reuse profiles that puts may name.
#ifndef CHUNKKV_SERVICE_SESSION_PROFILE_TABLE_H_
#define CHUNKKV_SERVICE_SESSION_PROFILE_TABLE_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "chunkkv/kernels/spec.h"
#include "service/format/bytes.h"
#include "service/format/reuse_profile.h"

namespace chunkkv {

// Profiles by model fingerprint and name. Immutable once loaded.
class ProfileTable {
 public:
  using Name = std::pair<Bytes32, std::string>;

  // Every *.json of `folder`. Errors, naming the file: those of ReadReuseProfile; NOT_FOUND (NO_FOLDER),
  // INVALID_ARGUMENT (PROFILE_TWICE: the same name for the same model).
  static absl::StatusOr<ProfileTable> Load(const std::string& folder);

  // Errors: NOT_FOUND (PROFILE_NOT_FOUND).
  absl::StatusOr<std::vector<ReuseGroup>> GroupsOf(const Bytes32& fingerprint, const std::string& name) const;
  const std::map<Name, ReuseProfile>& all() const { return profiles_; }

 private:
  std::map<Name, ReuseProfile> profiles_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SESSION_PROFILE_TABLE_H_
