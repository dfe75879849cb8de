# cmake --install: the header, both libraries, the command, a CMake package and a pkg-config file.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS vqrank vqrank_static EXPORT vqrank
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY runtime/include/vqrank DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(VQRANK_TOOLS)
  install(TARGETS vqrank_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

# find_package(vqrank) gives vqrank::vqrank and vqrank::vqrank_static.
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/vqrank)
install(EXPORT vqrank NAMESPACE vqrank:: DESTINATION ${package_dir} FILE vqrankTargets.cmake)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/vqrankConfigVersion.cmake COMPATIBILITY SameMinorVersion)
file(WRITE ${PROJECT_BINARY_DIR}/vqrankConfig.cmake "include(\${CMAKE_CURRENT_LIST_DIR}/vqrankTargets.cmake)\n")
install(FILES ${PROJECT_BINARY_DIR}/vqrankConfig.cmake ${PROJECT_BINARY_DIR}/vqrankConfigVersion.cmake
        DESTINATION ${package_dir})

# Relative paths, so that the installed tree can be moved.
file(RELATIVE_PATH prefix_from_pkgconfig /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/vqrank.pc.in ${PROJECT_BINARY_DIR}/vqrank.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/vqrank.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
