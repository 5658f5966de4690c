"""`mmgen serve --ray`: this server's API over engines in other processes and on other machines."""
