# mizzen_unite(<target> <file>...): compiles about sixteen files in one. Which depends on a file's
# name alone, so that a new file changes one group and not all. Names in unnamed namespaces must be a
# folder's only ones where files meet in a group: the compiler says so.
function(mizzen_unite target)
  list(LENGTH ARGN count)
  set(groups 1)
  while(groups LESS 16 AND count GREATER 16)
    math(EXPR groups "${groups} * 2")
    math(EXPR count "${count} / 2")
  endwhile()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  # Which GCC warns of: what an unnamed namespace holds, when it stands in an included file.
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
  foreach(file ${ARGN})
    get_filename_component(key ${file} NAME)
    string(MD5 key ${key})
    string(SUBSTRING ${key} 0 1 key)
    math(EXPR group "0x${key} % ${groups}")
    set_source_files_properties(${file} PROPERTIES UNITY_GROUP ${group})
  endforeach()
endfunction()

# mizzen_library(<folder> [DEPS folder...] [LINK target...] [THREADS])
#   A static library of every .cc file below the current folder, with an include root of its own:
#   "io/loop.h" is found only by a folder that names `io` in DEPS (or gets it through them), so an
#   include edge that the architecture forbids does not compile. *_test.cc become <folder>_test,
#   *_fuzz.cc one fuzzer each; <folder>_test runs over their seeds (corpus/<name> beside the
#   fuzzer). THREADS: its tests run under the thread sanitizer too.
function(mizzen_library name)
  cmake_parse_arguments(A "THREADS" "" "DEPS;LINK;TEST_DEPS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  set(tests ${sources})
  set(fuzzers ${sources})
  list(FILTER sources EXCLUDE REGEX "_(test|fuzz)\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.cc$")

  set(root ${CMAKE_BINARY_DIR}/roots/${name})
  file(MAKE_DIRECTORY ${root})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${root}/${name} SYMBOLIC)

  if(sources)
    add_library(${name} STATIC ${sources})
    set(scope PUBLIC)
    target_compile_options(${name} PRIVATE ${MIZZEN_OWN_OPTIONS})
  else()
    add_library(${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${name} ${scope} ${root})
  target_link_libraries(${name} ${scope} ${A_DEPS} ${A_LINK})
  if(MIZZEN_UNITY AND sources)
    mizzen_unite(${name} ${sources})
  endif()

  # A header without a .cc of its name is compiled alone, so that every header stands by itself
  # (the others are the first include of their .cc, which tools/tidy checks).
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.h)
  set(alone "")
  foreach(header ${headers})
    string(REGEX REPLACE "\\.h$" ".cc" twin ${header})
    if(NOT EXISTS ${twin})
      file(RELATIVE_PATH path ${CMAKE_CURRENT_SOURCE_DIR} ${header})
      string(REPLACE "/" "_" flat ${path})
      file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/alone/${name}_${flat}.cc
           CONTENT "#include \"${name}/${path}\"\n")
      list(APPEND alone ${CMAKE_BINARY_DIR}/alone/${name}_${flat}.cc)
    endif()
  endforeach()

  # The seeds of all of a folder's fuzzers are run by one test file of ours.
  set(passes "")
  if(fuzzers AND NOT MIZZEN_FUZZ)
    set(pass "#include \"fuzz/corpus.h\"\n")
    foreach(fuzzer ${fuzzers})
      get_filename_component(fuzz_name ${fuzzer} NAME_WE)
      get_filename_component(folder ${fuzzer} DIRECTORY)
      set_source_files_properties(${fuzzer} PROPERTIES COMPILE_DEFINITIONS
                                  LLVMFuzzerTestOneInput=${fuzz_name}_target)
      string(CONFIGURE [[
extern "C" int @fuzz_name@_target(const std::uint8_t* data, std::size_t size);
TEST(Seeds, @fuzz_name@) { mizzen::run_corpus("@folder@/corpus/@fuzz_name@", @fuzz_name@_target); }
]] one @ONLY)
      string(APPEND pass "${one}")
    endforeach()
    set(passes ${CMAKE_BINARY_DIR}/fuzz/${name}_pass.cc)
    file(CONFIGURE OUTPUT ${passes} CONTENT "${pass}" @ONLY)
    list(APPEND passes ${fuzzers})
  endif()

  if(tests)
    add_executable(${name}_test ${tests} ${alone} ${passes})
    target_include_directories(${name}_test PRIVATE ${CMAKE_SOURCE_DIR}/tests)
    target_compile_options(${name}_test PRIVATE ${MIZZEN_OWN_OPTIONS})
    target_link_libraries(${name}_test PRIVATE ${name} ${A_TEST_DEPS} GTest::gtest_main)
    add_test(NAME ${name} COMMAND ${name}_test WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT 300)
    if(MIZZEN_UNITY)
      mizzen_unite(${name}_test ${tests})
    endif()
    set_property(GLOBAL APPEND PROPERTY MIZZEN_TESTS ${name}_test)
    if(A_THREADS)
      set_tests_properties(${name} PROPERTIES LABELS "unit;threads")
      set_property(GLOBAL APPEND PROPERTY MIZZEN_THREAD_TESTS ${name}_test)
    endif()
  endif()

  if(MIZZEN_FUZZ)
    foreach(fuzzer ${fuzzers})
      get_filename_component(fuzz_name ${fuzzer} NAME_WE)
      add_executable(${name}_${fuzz_name} ${fuzzer})
      target_compile_options(${name}_${fuzz_name} PRIVATE -fsanitize=fuzzer,address)
      target_link_options(${name}_${fuzz_name} PRIVATE -fsanitize=fuzzer,address)
      target_link_libraries(${name}_${fuzz_name} PRIVATE ${name} ${A_TEST_DEPS})
      set_property(GLOBAL APPEND PROPERTY MIZZEN_FUZZERS ${name}_${fuzz_name})
    endforeach()
  endif()
endfunction()

# mizzen_program(<name> DEPS folder...): one `main`, composition only.
function(mizzen_program name)
  cmake_parse_arguments(A "" "" "DEPS;LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  add_executable(${name} ${sources})
  target_compile_options(${name} PRIVATE ${MIZZEN_OWN_OPTIONS})
  target_link_libraries(${name} PRIVATE ${A_DEPS} ${A_LINK})
  set_property(GLOBAL APPEND PROPERTY MIZZEN_PROGRAMS ${name})
endfunction()
