// A put that names a measured profile is compacted by its groups; the entry says which layers share positions.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "chunkkv/kernels/status.h"
#include "service/format/reuse_profile.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_spec.h"
#include "tests/support/get_client.h"
#include "tests/support/put_client.h"
#include "tests/support/test_server.h"

namespace chunkkv {
namespace {

// Of SmallRequest's model and its three layers: 0 and 1 led by 1, and 2 by itself.
ReuseProfile Profile(const std::string& name = "measured") {
  ReuseProfile profile;
  profile.name = name;
  profile.model = SmallRequest().model;
  profile.spec = SmallRequest().spec;
  profile.max_loss = 0.1;
  profile.prompt_count = 1;
  profile.token_count = 96;
  profile.groups = {{0, 2, 1}, {2, 1, 2}};
  profile.layers = {{0.5, 0.05, 0.05}, {0.5, 0, 0}, {0.5, 0, 0}};
  return profile;
}

class ProfileFolder {
 public:
  // Tests run at the same time, of more than one build too: each has a folder of its own.
  ProfileFolder()
      : path_(std::filesystem::path(testing::TempDir()) /
              (testing::UnitTest::GetInstance()->current_test_info()->name() + std::to_string(getpid()))) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~ProfileFolder() { std::filesystem::remove_all(path_); }
  void Write(const std::string& file, const ReuseProfile& profile) const {
    ASSERT_TRUE(WriteReuseProfile((path_ / file).string(), profile).ok());
  }
  void WriteText(const std::string& file, const std::string& text) const { std::ofstream(path_ / file) << text; }
  std::string path() const { return path_.string(); }

 private:
  const std::filesystem::path path_;
};

ServerOptions WithProfiles(const ProfileFolder& folder) {
  ServerOptions options = SmallServer();
  options.profiles_folder = folder.path();
  return options;
}

PutRequest ProfileRequest(const std::string& name = "measured") {
  PutRequest request = SmallRequest();
  request.spec.profile = name;
  return request;
}

TEST(ProfileTest, APutTakesTheGroupsOfItsModelsProfile) {
  const ProfileFolder folder;
  folder.Write("small.json", Profile());
  TestServer server(WithProfiles(folder));
  const PutRequest request = ProfileRequest();
  const Prompt prompt = MakePrompt(request);
  const PutResult put = PutAll(server.channel(), request, prompt);
  ASSERT_TRUE(put.committed.has_value()) << put.end;
  ASSERT_EQ(put.begun->groups_size(), 2);
  EXPECT_EQ(put.begun->groups(0).leader(), 1);
  ASSERT_EQ(put.committed->compaction().retained_mass_size(), 2);  // only leaders are scored
  EXPECT_EQ(put.committed->compaction().retained_mass(0).layer(), 1);

  PutRequest stated = SmallRequest();
  stated.spec.groups = Profile().groups;
  const Kept kept = ReferenceKept(stated, prompt);
  const GotEntry got = GetAll(server.channel(), GetRequestOf(request));
  ASSERT_TRUE(got.end.ok()) << got.end;
  ASSERT_EQ(got.header.groups_size(), 2);
  EXPECT_EQ(got.header.groups(0).group().layer_count(), 2);
  EXPECT_EQ(got.header.spec().profile(), "measured");
  for (int32_t group = 0; group < 2; ++group) {
    const auto& positions = got.header.groups(group).positions();
    EXPECT_EQ(std::vector<int32_t>(positions.begin(), positions.end()), kept.positions[group]);
  }
}

TEST(ProfileTest, TheVariantIsThatOfTheNameNotOfTheGroups) {
  CompactionSpec named = ProfileRequest().spec;
  CompactionSpec stated = SmallRequest().spec;
  stated.groups = Profile().groups;
  EXPECT_NE(VariantOf(named), VariantOf(stated));
  EXPECT_NE(VariantOf(named), VariantOf(ProfileRequest("other").spec));
}

TEST(ProfileTest, IsRefusedForOtherModelsLayersAndWithGroupsOfThePutsOwn) {
  const ProfileFolder folder;
  folder.Write("small.json", Profile());
  TestServer server(WithProfiles(folder));
  const auto reason_of = [&](const PutRequest& request) {
    return PutAll(server.channel(), request, MakePrompt(request)).end.reason;
  };
  PutRequest other_model = ProfileRequest();
  other_model.model.revision += "-b";
  EXPECT_EQ(reason_of(other_model), "PROFILE_NOT_FOUND");
  EXPECT_EQ(reason_of(ProfileRequest("unheard of")), "PROFILE_NOT_FOUND");
  PutRequest fixed = ProfileRequest();
  fixed.spec.reuse_group = 2;
  EXPECT_EQ(reason_of(fixed), "PROFILE_AND_GROUPS");
  PutRequest grouped = ProfileRequest();
  grouped.spec.groups = Profile().groups;
  EXPECT_EQ(reason_of(grouped), "PROFILE_AND_GROUPS");
  PutRequest two_layers = ProfileRequest();
  two_layers.layout = {AttentionLayers(0, 2), VerbatimLayers(2, 1)};
  EXPECT_EQ(reason_of(two_layers), "PROFILE_LAYERS");
  server.ExpectAtRest();
}

TEST(ProfileTest, CapabilitiesListWhatIsLoaded) {
  const ProfileFolder folder;
  folder.Write("a.json", Profile("a"));
  folder.Write("b.json", Profile("b"));
  folder.WriteText("notes.txt", "not a profile");
  TestServer server(WithProfiles(folder));
  grpc::ClientContext context;
  v1::GetCapabilitiesResponse capabilities;
  ASSERT_TRUE(server.stub().GetCapabilities(&context, {}, &capabilities).ok());
  ASSERT_EQ(capabilities.profiles_size(), 2);
  EXPECT_EQ(capabilities.profiles(1).name(), "b");
  EXPECT_EQ(capabilities.profiles(1).fingerprint(), rpc::ToString(Fingerprint(Profile().model)));
  EXPECT_EQ(capabilities.profiles(1).groups_size(), 2);
  EXPECT_EQ(capabilities.profiles(1).spec().max_tokens(), *Profile().spec.max_tokens);
  EXPECT_EQ(capabilities.profiles(1).max_loss(), 0.1);
}

TEST(ProfileTest, AServerDoesNotStartWithProfilesItCannotRead) {
  const FakeClock clock;
  const auto reason_of = [&](const ProfileFolder& folder) {
    return StatusReason(Server::Start(WithProfiles(folder), clock).status());
  };
  {
    const ProfileFolder folder;
    folder.WriteText("broken.json", "{");
    EXPECT_EQ(reason_of(folder), "BAD_PROFILE");
  }
  {
    const ProfileFolder folder;
    folder.Write("a.json", Profile());
    folder.Write("b.json", Profile());
    EXPECT_EQ(reason_of(folder), "PROFILE_TWICE");
  }
  ServerOptions missing = SmallServer();
  missing.profiles_folder = testing::TempDir() + "/no such folder";
  EXPECT_EQ(StatusReason(Server::Start(missing, clock).status()), "NO_FOLDER");
}

}  // namespace
}  // namespace chunkkv
