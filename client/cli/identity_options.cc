#include "client/cli/identity_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"

namespace chunkkv::cli {
namespace {

constexpr const char* kGroup = "Model and prompt";  // of --help
constexpr std::streamsize kMaxTextBytes = std::streamsize{256} << 20;

absl::StatusOr<std::string> ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const std::streamsize size = file ? static_cast<std::streamsize>(file.tellg()) : -1;
  if (size < 0 || size > kMaxTextBytes) return InvalidArgument("BAD_FILE", path + " cannot be read");
  std::string text(static_cast<size_t>(size), '\0');
  file.seekg(0);
  if (!file.read(text.data(), size)) return InvalidArgument("BAD_FILE", path + " cannot be read");
  return text;
}

// Token ids between spaces, commas, line ends and brackets, so that a JSON list is read too.
absl::StatusOr<std::vector<uint32_t>> ParseTokens(const std::string& text) {
  constexpr std::string_view kBetween = " \t\r\n,[]";
  std::vector<uint32_t> tokens;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    at = std::find_if(at, end, [&](char c) { return kBetween.find(c) == std::string_view::npos; });
    if (at == end) return tokens;
    uint32_t token = 0;
    const auto [next, error] = std::from_chars(at, end, token);
    if (error != std::errc() || (next != end && kBetween.find(*next) == std::string_view::npos)) {
      return InvalidArgument("BAD_TOKENS", absl::StrCat("--tokens: byte ", at - text.data(), " begins no token id"));
    }
    tokens.push_back(token);
    at = next;
  }
}

template <size_t N>
absl::StatusOr<FixedBytes<N>> ParseHex(const std::string& hex, const char* flag, const char* reason) {
  const std::optional<std::string> bytes = FromHex(hex);
  const std::optional<FixedBytes<N>> fixed = bytes ? FixedFromView<N>(*bytes) : std::nullopt;
  if (!fixed) return InvalidArgument(reason, absl::StrCat(flag, " must be ", 2 * N, " hexadecimal digits"));
  return *fixed;
}

const std::string* FindMetadata(const PromptFile* file, const std::string& name) {
  if (file == nullptr || file->record() != nullptr) return nullptr;
  const auto found = file->metadata().find(name);
  return found == file->metadata().end() ? nullptr : &found->second;
}

std::string KvDTypeName(DType dtype) {
  std::string name(DTypeName(dtype));
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name;
}

}  // namespace

absl::StatusOr<Bytes32> ParseBytes32(const std::string& hex, const char* flag, const char* reason) {
  return ParseHex<32>(hex, flag, reason);
}

absl::StatusOr<client::Accept> ParseAccept(const std::string& text) {
  if (text == "exact") return client::Accept::Exact();
  if (text == "least_lossy") return client::Accept::LeastLossy();
  const std::optional<std::string> bytes = FromHex(text);
  const std::optional<Bytes32> variant = bytes ? FixedFromView<32>(*bytes) : std::nullopt;
  if (variant) return client::Accept::Variant(*variant);
  return InvalidArgument("BAD_ACCEPT", "--accept must be exact, least_lossy, or a variant of 64 hexadecimal digits");
}

absl::StatusOr<Bytes16> ParseBytes16(const std::string& hex, const char* flag, const char* reason) {
  return ParseHex<16>(hex, flag, reason);
}

void IdentityOptions::AddModelTo(CLI::App& app) {
  app.add_option("--model-name", flags_.name, "name of the model")->group(kGroup);
  app.add_option("--model-revision", flags_.revision, "commit, checksum or date of its weights")->group(kGroup);
  app.add_option("--kv-dtype", flags_.kv_dtype, "dtype of the KV cache as computed [that of the input's keys]")
      ->group(kGroup);
  app.add_option("--quantization", flags_.quantization, "of the KV cache [none]")->group(kGroup);
  app.add_option("--rope", flags_.rope, "RoPE and its scaling, as text")->group(kGroup);
  app.add_option("--model-layers", flags_.layer_count, "layers of the whole model [the input's]")->group(kGroup);
  app.add_option("--model-kv-heads", flags_.kv_head_count, "KV heads [the input's]")->group(kGroup);
  app.add_option("--model-key-size", flags_.key_head_size, "size of a key head [the input's]")->group(kGroup);
  app.add_option("--model-value-size", flags_.value_head_size, "size of a value head [the input's]")->group(kGroup);
  app.add_option("--model-file", model_file_, "the model's identity in canonical JSON, instead of the flags")
      ->group(kGroup);
}

void IdentityOptions::AddTo(CLI::App& app) {
  AddModelTo(app);
  app.add_option("--tokens", tokens_file_, "file of the prompt's token ids: numbers, or a JSON list")->group(kGroup);
  app.add_option("--key", key_, "the prompt's key: 64 hexadecimal digits")->group(kGroup);
}

void IdentityOptions::AddFingerprintTo(CLI::App& app) {
  app.add_option("--fingerprint", fingerprint_, "the model's fingerprint, as put prints it, instead of all else")
      ->group(kGroup);
}

void IdentityOptions::AddForLookupTo(CLI::App& app) {
  AddTo(app);
  AddFingerprintTo(app);
}

absl::StatusOr<ModelIdentity> IdentityOptions::Model(const PromptFile* file) const {
  if (flags_.name.empty()) {
    if (!model_file_.empty()) {
      CHUNKKV_ASSIGN_OR_RETURN(std::string text, ReadText(model_file_));
      while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
      return ModelIdentityFromCanonicalText(text);
    }
    if (const std::string* text = FindMetadata(file, "model")) return ModelIdentityFromCanonicalText(*text);
    if (file != nullptr && file->record() != nullptr && file->record()->header.model) {
      return *file->record()->header.model;
    }
    return InvalidArgument("MODEL_IDENTITY_INCOMPLETE",
                           "name the model: --model-name and --model-revision, --model-file, or metadata model");
  }
  ModelIdentity model = flags_;
  if (file != nullptr) {
    const auto run = std::find_if(file->layout().begin(), file->layout().end(),
                                  [](const LayerRun& one) { return one.is_attention(); });
    if (run != file->layout().end()) {
      const AttentionRun& attention = *run->attention;
      if (model.kv_dtype.empty()) model.kv_dtype = KvDTypeName(attention.key_dtype);
      if (model.kv_head_count == 0) model.kv_head_count = attention.kv_head_count;
      if (model.key_head_size == 0) model.key_head_size = attention.key_head_size;
      if (model.value_head_size == 0) model.value_head_size = attention.value_head_size;
    }
    if (model.layer_count == 0) model.layer_count = LayerCount(file->layout());
  }
  CHUNKKV_RETURN_IF_ERROR(ValidateModelIdentity(model));
  return model;
}

absl::StatusOr<client::ModelRef> IdentityOptions::ModelRef() const {
  if (!fingerprint_.empty()) {
    CHUNKKV_ASSIGN_OR_RETURN(const Bytes32 fingerprint, ParseBytes32(fingerprint_, "--fingerprint", "BAD_FINGERPRINT"));
    return client::ModelRef(fingerprint);
  }
  absl::StatusOr<ModelIdentity> model = Model(nullptr);
  if (!model.ok()) {
    return InvalidArgument(StatusReason(model.status()),
                           absl::StrCat(std::string(model.status().message()), "; or give --fingerprint"));
  }
  return client::ModelRef(*std::move(model));
}

absl::StatusOr<client::Prompt> IdentityOptions::Prompt(const PromptFile* file) const {
  client::Prompt prompt;
  if (!tokens_file_.empty()) {
    CHUNKKV_ASSIGN_OR_RETURN(const std::string text, ReadText(tokens_file_));
    CHUNKKV_ASSIGN_OR_RETURN(prompt.tokens, ParseTokens(text));
    if (prompt.tokens.empty()) return InvalidArgument("BAD_TOKENS", "--tokens names a file without token ids");
  }
  if (!key_.empty()) {
    CHUNKKV_ASSIGN_OR_RETURN(prompt.key, ParseBytes32(key_, "--key", "BAD_KEY"));
  } else if (prompt.tokens.empty()) {
    if (const std::string* key = FindMetadata(file, "key")) {
      CHUNKKV_ASSIGN_OR_RETURN(prompt.key, ParseBytes32(*key, "metadata key", "BAD_KEY"));
    } else if (file != nullptr && file->record() != nullptr) {
      prompt.key = file->record()->header.key;
    }
  }
  if (prompt.tokens.empty() && !prompt.key) {
    return InvalidArgument("NO_PROMPT", "name the prompt: --tokens FILE or --key HEX");
  }
  return prompt;
}

}  // namespace chunkkv::cli
