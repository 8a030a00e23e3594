// Images are names for programs that are on this machine (docs/adr). The catalogue says which.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace mizzen::local {

struct CatalogueEntry {
  std::string pattern;                  // glob over the image's name: `*` for any text
  std::vector<std::string> command;     // what ENTRYPOINT and CMD would be together
  std::vector<std::string> entrypoint;  // put before a container's `args`; "" as first: none
  std::vector<std::pair<std::string, std::string>> env;  // of the image itself
  // What stands for the image's own programs, by the word with which a pod or an exec starts one.
  std::vector<std::pair<std::string, std::vector<std::string>>> programs;
  // A program of a Debian package without which the image cannot run; "" for none.
  std::string needs;
  std::string package;
};

// What a container runs: `command` and `args` of the pod override as Kubernetes has it.
struct Program {
  std::vector<std::string> argv;
  std::vector<std::pair<std::string, std::string>> env;
  std::vector<std::pair<std::string, std::vector<std::string>>> programs;  // as CatalogueEntry

  // `words` with what stands here for its first word.
  std::vector<std::string> here(std::vector<std::string> words) const;
};

class Catalogue {
 public:
  // The built-in entries.
  Catalogue();

  // The user's entries from `path`, which go before the built-in ones; a missing file is none.
  // One per line: PATTERN COMMAND..., words as a shell would split them; # starts a comment.
  Status load(const std::string& path);

  const CatalogueEntry* find(std::string_view image) const;
  // Errors: kNotFound with a message that says how to map the image, or which package to install.
  Result<Program> resolve(std::string_view image, const std::vector<std::string>& command,
                          const std::vector<std::string>& args) const;

  const std::vector<CatalogueEntry>& user_entries() const { return user_; }
  const std::vector<CatalogueEntry>& builtin_entries() const { return builtin_; }

 private:
  std::vector<CatalogueEntry> user_;
  std::vector<CatalogueEntry> builtin_;
};

// Whether `pattern` matches the whole of `text`; only `*` is special.
bool glob_matches(std::string_view pattern, std::string_view text);

// The name that patterns are matched against: registry and digest away, `:latest` when no tag is
// there. "docker.io/curlimages/curl:8.16.0" -> "curlimages/curl:8.16.0".
std::string canonical_image(std::string_view image);

// Adds a line to the user's catalogue file, replacing one with the same pattern.
Status add_to_catalogue(const std::string& path, const std::string& pattern,
                        const std::vector<std::string>& command);
Status remove_from_catalogue(const std::string& path, const std::string& pattern);

}  // namespace mizzen::local
