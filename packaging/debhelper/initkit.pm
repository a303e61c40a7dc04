# debhelper sequence for packages whose services initkit describes
use warnings;
use strict;
use Debian::Debhelper::Dh_Lib;

# Before every tool that could take up a file of its making.
insert_before('dh_install', 'dh_initkit');
insert_before('dh_clean', 'dh_initkit_clean');

# From compat level 14 on it is in every sequence. Perl loads a module once, also if the package asks for it as well.
require Debian::Debhelper::Sequence::installsysusers if compat(13);

1;
