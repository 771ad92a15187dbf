#include "service/session/profile_table.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "chunkkv/kernels/status.h"
#include "service/format/identity.h"
#include "service/format/reuse_profile.h"

namespace chunkkv {
namespace {

absl::StatusOr<std::vector<std::filesystem::path>> JsonFiles(const std::string& folder) {
  std::error_code error;
  std::vector<std::filesystem::path> paths;
  for (auto entry = std::filesystem::directory_iterator(folder, error); !error && entry != end(entry);
       entry.increment(error)) {
    if (entry->path().extension() == ".json") paths.push_back(entry->path());
  }
  if (error) {
    return ErrorStatus(absl::StatusCode::kNotFound, "NO_FOLDER", "profiles: " + folder + ": " + error.message());
  }
  std::ranges::sort(paths);
  return paths;
}

}  // namespace

absl::StatusOr<ProfileTable> ProfileTable::Load(const std::string& folder) {
  const auto paths = JsonFiles(folder);
  if (!paths.ok()) return paths.status();
  ProfileTable table;
  for (const std::filesystem::path& path : *paths) {
    absl::StatusOr<ReuseProfile> profile = ReadReuseProfile(path.string());
    if (!profile.ok()) {
      return ErrorStatus(profile.status().code(), StatusReason(profile.status()),
                         path.string() + ": " + std::string(profile.status().message()));
    }
    Name name(Fingerprint(profile->model), profile->name);
    const auto [place, is_new] = table.profiles_.emplace(std::move(name), *std::move(profile));
    if (!is_new) {
      return InvalidArgument("PROFILE_TWICE",
                             path.string() + ": '" + place->first.second + "' of this model is in another file too");
    }
  }
  return table;
}

absl::StatusOr<std::vector<ReuseGroup>> ProfileTable::GroupsOf(const Bytes32& fingerprint,
                                                               const std::string& name) const {
  const auto found = profiles_.find(Name(fingerprint, name));
  if (found != profiles_.end()) return found->second.groups;
  return ErrorStatus(absl::StatusCode::kNotFound, "PROFILE_NOT_FOUND",
                     "spec.profile: this server has no profile of that name for the model");
}

}  // namespace chunkkv
