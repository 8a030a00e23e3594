# Compiler, warnings, sanitizers and third-party libraries, said once for the whole tree.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

set(MIZZEN_OPTIMISE "-O0" CACHE STRING "Optimisation of our own code, as compiler options")
set(MIZZEN_SANITIZE "" CACHE STRING "address,undefined or thread; empty for none")
option(MIZZEN_UNITY "Compile the files of a folder in groups: quicker from nothing, slower after a small change" OFF)
option(MIZZEN_FUZZ "Build the fuzzers (clang)" OFF)
set(MIZZEN_PROFILE "" CACHE STRING "generate: count what runs, into out/profile; use: optimise by these counts (./dev build trained)")

find_program(CCACHE ccache)
if(CCACHE)
  # Objects are shared between checkouts: paths are made relative to this one.
  set(MIZZEN_CCACHE ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1)
  # By the headers that the compiler names, no preprocessor runs beside it; headers may be as new as generated ones are.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${MIZZEN_CCACHE} CCACHE_DEPEND=1
      CCACHE_SLOPPINESS=include_file_mtime,include_file_ctime ${CCACHE})
  list(APPEND MIZZEN_CCACHE ${CCACHE})
endif()

add_compile_options(-Wall -Wextra -Wno-missing-field-initializers -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options(--param=ggc-min-heapsize=1048576)  # KiB; it would look for garbage from 128 MiB on
endif()
find_program(LLD ld.lld)
if(LLD AND NOT MIZZEN_PROFILE STREQUAL "use")  # which does not know GCC's intermediate code
  add_link_options(-fuse-ld=lld)
endif()
add_link_options(-Wl,--gc-sections)
add_compile_options(-ffunction-sections -fdata-sections)

# Applied to our own code only; generated protobuf code is built once, the same for every preset.
# Warnings are errors where tests are built. What users build must not fail on another compiler's opinion, and
# this one's is often wrong when it optimises (-Wrestrict: GCC bug 105651). Clang, which builds the fuzzers, warns of
# GCC's own library.
if(MIZZEN_OPTIMISE MATCHES "-O2")
  set(MIZZEN_OWN_OPTIONS -Wno-restrict)
elseif(NOT MIZZEN_FUZZ)
  set(MIZZEN_OWN_OPTIONS -Werror)
endif()
separate_arguments(optimise UNIX_COMMAND "-g1 ${MIZZEN_OPTIMISE}")
list(APPEND MIZZEN_OWN_OPTIONS ${optimise})
if(MIZZEN_SANITIZE)
  # Left out are the checks that stand at every use of a pointer: they double the time to compile, and
  # the address sanitizer sees what they would.
  list(APPEND MIZZEN_OWN_OPTIONS -fsanitize=${MIZZEN_SANITIZE} -fno-sanitize-recover=all
       -fno-sanitize=null,alignment,object-size,vptr,pointer-overflow,nonnull-attribute,returns-nonnull-attribute)
  add_link_options(-fsanitize=${MIZZEN_SANITIZE})
  # protobuf's MapField has another layout when it sees this; the system's library was built without.
  if(MIZZEN_SANITIZE STREQUAL "thread")
    list(APPEND MIZZEN_OWN_OPTIONS -U__SANITIZE_THREAD__)
  endif()
endif()
if(MIZZEN_PROFILE)
  # Counts are found by a file's path below the build folder, so that one folder's serve the other. What the
  # training has not run is optimised as without it, and not for size. An inline function's counts are one
  # file's, where another file found the same text by another path: that is no mismatch.
  list(APPEND MIZZEN_OWN_OPTIONS -fprofile-${MIZZEN_PROFILE}=${CMAKE_SOURCE_DIR}/out/profile
       -fprofile-prefix-path=${CMAKE_BINARY_DIR})
  if(MIZZEN_PROFILE STREQUAL "use")
    list(APPEND MIZZEN_OWN_OPTIONS -fprofile-partial-training -Wno-missing-profile -Wno-coverage-mismatch -flto)
    add_link_options(-flto=auto -Wno-stringop-overflow)
    set(CMAKE_AR ${CMAKE_CXX_COMPILER_AR})
    set(CMAKE_RANLIB ${CMAKE_CXX_COMPILER_RANLIB})
  else()
    add_link_options(-fprofile-generate)
  endif()
endif()
if(MIZZEN_FUZZ)
  list(APPEND MIZZEN_OWN_OPTIONS -fsanitize=fuzzer-no-link,address)
  add_link_options(-fsanitize=address)
endif()

find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(Protobuf MODULE REQUIRED)
# What users run has it inside: looking up its symbols is a tenth of what a start costs.
find_library(MIZZEN_PROTOBUF_INSIDE NAMES libprotobuf.a)
if(MIZZEN_OPTIMISE MATCHES "-O2" AND NOT MIZZEN_SANITIZE AND MIZZEN_PROTOBUF_INSIDE)
  set(Protobuf_LIBRARIES ${MIZZEN_PROTOBUF_INSIDE} z)
endif()
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(GTest REQUIRED)
find_package(ZLIB REQUIRED)
find_package(PkgConfig REQUIRED)
foreach(module libnghttp2 re2 libcares sqlite3)
  pkg_check_modules(${module} REQUIRED IMPORTED_TARGET ${module})
endforeach()
