// What the subcommands print: data on stdout, as text for people or as JSON.
#ifndef CHUNKKV_CLIENT_CLI_OUTPUT_H_
#define CHUNKKV_CLIENT_CLI_OUTPUT_H_

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "service/format/entry_header.h"

namespace chunkkv::cli {

// One JSON value and a newline; bytes that are not UTF-8 are replaced.
void PrintJson(const nlohmann::json& value);

// "205.3 MiB", "1,024", "20.0 %".
std::string BytesText(int64_t bytes);
std::string CountText(int64_t count);
std::string ShareText(double share);

// An entry's metadata. `with_positions` adds each group's kept positions (absent where everything was kept).
nlohmann::json EntryJson(const EntryHeader& header, bool with_positions);
nlohmann::json SpecJson(const CompactionSpec& spec);
nlohmann::json OutcomeJson(const CompactionOutcome& outcome);

// Some lines about an entry: what was asked, what was kept, how much of the scores that holds.
std::string EntryText(const EntryHeader& header);

// Names of what changed the budget, as on the wire: RAISED_TO_WINDOW, ...
std::vector<std::string> BudgetChangeNames(const CompactionOutcome& outcome);

}  // namespace chunkkv::cli

#endif  // CHUNKKV_CLIENT_CLI_OUTPUT_H_
